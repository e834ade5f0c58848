"""The whole route: quote, service, token, keys, claims; with a service that works, and with ones that lie."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.attestation import TcbStatus, Tee, TrustDomain, appraise, parse_quote
from strongroom.attestation.tokens import MAA, KeySetUnusable, TokenKeyUnknown
from strongroom.collateral.attestation_service import ServiceRefused, ServiceUnreachable
from strongroom.collateral.remote_verifier import RemoteVerifier
from strongroom.collateral.token_keys import PinnedKeys
from strongroom.errors import Tampered
from strongroom.platforms.simulated import TdIdentity


def now():
    return datetime.now(UTC)


def test_a_quote_becomes_claims_by_way_of_a_token(rehearsal, profile, bound_to):
    claims = rehearsal.verifier(profile).appraise_quote(
        rehearsal.quote(b"key"), bound=b"key", report_data=bound_to(b"key"), at=now()
    )
    assert (claims.source, claims.trust_domain, claims.tee) == (profile.source, TrustDomain.SIMULATED, Tee.SGX)
    assert (claims.mr_enclave, claims.isv_svn, claims.debug) == (b"\xe1" * 32, 3, False)
    assert claims.report_data == bound_to(b"key")


@pytest.mark.parametrize("version", [4, 5])
def test_a_trust_domains_quote_becomes_claims_too(rehearsal, profile, bound_to, version):
    identity = TdIdentity(mr_td=b"\x5b" * 48)
    quote = rehearsal.world.quote(identity, bound_to(b"key"), version=version)
    claims = rehearsal.verifier(profile).appraise_quote(quote, bound=b"key", report_data=bound_to(b"key"), at=now())
    assert (claims.tee, claims.mr_td, claims.tcb_status) == (Tee.TDX, b"\x5b" * 48, TcbStatus.UP_TO_DATE)
    assert (claims.debug, claims.mr_service_td) == (False, None)
    assert claims.td_attributes == parse_quote(quote).body.td_attributes


def test_sc_16_a_token_about_another_key_is_refused(rehearsal, profile, bound_to):
    with pytest.raises(Tampered) as caught:
        rehearsal.verifier(profile).appraise_quote(
            rehearsal.quote(b"key"), bound=b"key", report_data=bound_to(b"another"), at=now()
        )
    assert caught.value.code == "SR-TOKEN-NOT-BOUND"


def test_a_token_about_another_program_with_the_same_key_is_refused(rehearsal, profile, bound_to):
    sent = rehearsal.quote(b"key")
    rehearsal.double._judge = _judging(rehearsal, mr_enclave=b"\xe2" * 32)
    with pytest.raises(Tampered) as caught:
        rehearsal.verifier(profile).appraise_quote(sent, bound=b"key", report_data=bound_to(b"key"), at=now())
    assert caught.value.code == "SR-TOKEN-OTHER-QUOTE"
    assert "mr_enclave" in caught.value.sentence


def _judging(rehearsal, **changes):
    """A verifier that says something else of a quote than what is in it."""
    honest = rehearsal.double._judge

    def judge(quote):
        verdict = honest(quote)
        return replace(verdict, body=replace(verdict.body, **changes))

    return judge


def test_a_quote_that_the_service_does_not_believe_gives_no_token(rehearsal, profile, bound_to):
    forged = bytearray(rehearsal.quote(b"key"))
    forged[112] ^= 1  # mr_enclave
    with pytest.raises(ServiceRefused) as caught:
        rehearsal.verifier(profile).appraise_quote(bytes(forged), bound=b"key", report_data=bound_to(b"key"), at=now())
    assert caught.value.code == "SR-ATTESTATION-SERVICE-REFUSED"
    assert "INVALID-QUOTE-SIGNATURE" in caught.value.sentence


def test_the_service_compares_runtime_data_and_report_data(rehearsal, profile, bound_to):
    with pytest.raises(ServiceRefused, match="SR-ATTEST-REQUEST"):
        rehearsal.verifier(profile).appraise_quote(
            rehearsal.quote(b"key"), bound=b"another", report_data=bound_to(b"key"), at=now()
        )


def test_azures_calls_are_for_one_kind_of_tee(rehearsal):
    with pytest.raises(ServiceRefused, match="this call is for TDX"):
        rehearsal.service().attest(rehearsal.quote(b"key"), tee=Tee.TDX, bound=b"key")


def test_new_keys_are_fetched_when_a_token_names_an_unknown_one(rehearsal, other_signing_key, bound_to):
    keys = rehearsal.keys(min_interval=timedelta(0))
    verifier = RemoteVerifier(rehearsal.service(), keys)
    quote, options = rehearsal.quote(b"key"), {"bound": b"key", "report_data": bound_to(b"key")}
    first = verifier.verdict_on(quote, at=now(), **options)
    rehearsal.double._key = other_signing_key
    second = verifier.verdict_on(quote, at=now(), **options)
    assert first.key_id != second.key_id


def test_unknown_key_ids_do_not_become_requests(rehearsal, other_signing_key, bound_to):
    verifier = rehearsal.verifier()
    quote, options = rehearsal.quote(b"key"), {"bound": b"key", "report_data": bound_to(b"key")}
    verifier.verdict_on(quote, at=now(), **options)
    rehearsal.double._key = other_signing_key
    with pytest.raises(TokenKeyUnknown):
        verifier.verdict_on(quote, at=now(), **options)


def test_a_pinned_set_is_never_renewed_by_a_token(rehearsal, other_signing_key, tmp_path, bound_to):
    pinned = tmp_path / "keys.json"
    pinned.write_text(json.dumps(rehearsal.double.key_set()), encoding="utf-8")
    keys = PinnedKeys(pinned, issuer=rehearsal.url, url=f"{rehearsal.url}/certs")
    verifier = RemoteVerifier(rehearsal.service(), keys)
    quote, options = rehearsal.quote(b"key"), {"bound": b"key", "report_data": bound_to(b"key")}
    assert verifier.verdict_on(quote, at=now(), **options).trust_domain is TrustDomain.SIMULATED
    rehearsal.double._key = other_signing_key
    with pytest.raises(TokenKeyUnknown) as caught:
        verifier.verdict_on(quote, at=now(), **options)
    assert caught.value.code == "SR-TOKEN-KEY"


def test_a_policy_judges_a_tokens_claims_as_it_judges_a_quotes(rehearsal, bound_to, token_policy):
    claims = rehearsal.verifier().appraise_quote(
        rehearsal.quote(b"key"), bound=b"key", report_data=bound_to(b"key"), at=now()
    )
    strict = token_policy()
    codes = {reason.code for reason in appraise(claims, strict, at=now()).reasons}
    assert {"POLICY_TCB_STATUS", "POLICY_INIT"} <= codes  # Azure's SGX tokens do not say
    assert appraise(claims, token_policy(lenient=True), at=now()).accepted
    other = appraise(claims, token_policy(lenient=True, mrenclave=b"\xe2" * 32), at=now())
    assert [reason.code for reason in other.reasons] == ["POLICY_MRENCLAVE"]
    real = appraise(claims, token_policy(lenient=True, domain=TrustDomain.AZURE_ATTESTATION), at=now())
    assert [reason.code for reason in real.reasons] == ["SIMULATED_EVIDENCE"]


def test_the_double_answers_as_openid_services_do(rehearsal):
    configuration = rehearsal.double.configuration()
    assert configuration["jwks_uri"] == f"{rehearsal.url}/certs"
    raw, keys = rehearsal.service().key_set(rehearsal.url)
    assert keys.simulated
    assert json.loads(raw)["strongroom_simulated"] is True


def test_a_quote_without_structure_is_not_sent(rehearsal, bound_to):
    with pytest.raises(Tampered):
        rehearsal.verifier().appraise_quote(b"no quote", bound=b"", report_data=bound_to(b""), at=now())


def test_the_token_and_the_quote_are_compared_field_by_field(rehearsal, profile, bound_to):
    quote = rehearsal.quote(b"key")
    verdict = rehearsal.verifier(profile).verdict_on(quote, bound=b"key", report_data=bound_to(b"key"), at=now())
    body = parse_quote(quote).body
    assert verdict.evidence["mr_enclave"] == body.mr_enclave
    assert verdict.evidence["isv_prod_id"] == body.isv_prod_id


def test_a_service_that_is_gone_is_unreachable(rehearsal, profile):
    from strongroom.collateral.attestation_service import AttestationService, ServiceAddress

    gone = AttestationService(profile, ServiceAddress.of("http://127.0.0.1:9"), timeout_s=2)
    for ask in (lambda: gone.key_set("x"), lambda: gone.attest(b"", tee=Tee.SGX, bound=b"")):
        with pytest.raises(ServiceUnreachable) as caught:
            ask()
        assert caught.value.code == "SR-ATTESTATION-SERVICE"


def test_a_service_that_publishes_no_keys_is_unusable(serving):
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from strongroom.collateral.attestation_service import AttestationService, ServiceAddress

    async def nothing(_):
        return PlainTextResponse("{}")

    with serving(lambda _: Starlette(routes=[Route("/certs", nothing)])) as url, pytest.raises(KeySetUnusable):
        AttestationService(MAA, ServiceAddress.of(url)).key_set(url)
