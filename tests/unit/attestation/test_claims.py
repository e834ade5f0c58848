"""A verdict becomes claims: every field that policies judge, and None only for what the evidence does not say."""

from dataclasses import fields, replace

import pytest

from strongroom.attestation import Claims, EvidenceSource, Tee, claims_of
from strongroom.attestation.td_report import TdReport

ONLY_TOKENS_SAY = {"platform_provider_id", "evidence_time"}
TD_FIELDS = {"tee_tcb_svn", "mr_seam", "mr_signer_seam", "seam_attributes", "td_attributes", "xfam", "mr_td",
             "mr_config_id", "mr_owner", "mr_owner_config", "rtmr0", "rtmr1", "rtmr2", "rtmr3",
             "mr_service_td"}  # fmt: skip


@pytest.fixture
def verdict(judge, world):
    return judge(world)


def unknown(claims):
    return {field.name for field in fields(Claims) if getattr(claims, field.name) is None}


def test_an_enclave_says_everything_but_what_only_tokens_and_trust_domains_say(verdict):
    claims = claims_of(verdict)
    assert unknown(claims) == ONLY_TOKENS_SAY | TD_FIELDS | {"smt_enabled"}  # the little world leaves that undefined
    assert (claims.source, claims.tee) == (EvidenceSource.QUOTE, Tee.SGX)
    assert claims.attributes + claims.xfrm == verdict.body.attributes
    assert claims.tcb_eval_ref_num == min(verdict.tcb_eval, verdict.qe_eval)


@pytest.mark.parametrize("size", [584, 648])
def test_a_trust_domain_says_its_registers_and_that_it_has_no_service_td(verdict, size):
    body = TdReport.parse(bytes(range(256)) * 2 + bytes(size - 512))
    claims = claims_of(replace(verdict, body=body, tee=Tee.TDX))
    assert not unknown(claims) & TD_FIELDS
    assert {"mr_enclave", "isv_svn", "attributes"} <= unknown(claims)
    assert claims.mr_td == body.mr_td
    assert claims.mr_service_td == bytes(48)


def test_claims_are_shown_without_what_is_unknown(verdict):
    shown = claims_of(verdict).to_json_object()
    assert "mr_td" not in shown
    assert shown["mr_enclave"] == "e1" * 32
    assert shown["not_after"].endswith("+00:00")
