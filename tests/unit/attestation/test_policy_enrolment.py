"""Whose machine it is: read from the signed certificate alone, whatever else of the evidence claims to know it."""

from datetime import timedelta

import pytest

from strongroom.attestation import EnrolledPlatform, Policy, TcbStatus, TrustDomain, appraise


@pytest.fixture
def policy_for():
    """A policy for the program of a verdict, on the platforms of these ids."""

    def make(verdict, *ids):
        until = verdict.verified_at + timedelta(days=1)
        return Policy(
            name="test", mrenclave=verdict.body.mr_enclave, mrsigner=None, isvprodid=None, min_isvsvn=None,
            accepted_tcb_status=frozenset({TcbStatus.UP_TO_DATE}), accepted_advisory_ids=frozenset(verdict.advisories),
            rejected_advisory_ids=frozenset(), allow_debug=False, trust_domains=frozenset({TrustDomain.SIMULATED}),
            max_collateral_age=timedelta(days=60), allow_dynamic_platform=True, allow_cached_keys=True,
            allow_smt_enabled=True, platforms=tuple(EnrolledPlatform(id=each, until=until) for each in ids),
        )  # fmt: skip

    return make


def codes(verdict, policy):
    return [reason.code for reason in appraise(verdict, policy, at=verdict.verified_at).reasons]


def test_pl_02_an_enrolled_id_in_the_quotes_header_enrols_nobody(world, judge, policy_for):
    mine = b"\x5a" * 16
    world.header = world.header[:28] + mine + bytes(4)  # the user data, where quoting enclaves put their id
    verdict = judge(world)
    assert codes(verdict, policy_for(verdict, mine)) == ["PLATFORM_NOT_ENROLLED"]
    assert codes(verdict, policy_for(verdict, verdict.pck.ppid)) == []


def test_pl_02_either_id_of_the_certificate_enrols(world, judge, policy_for):
    verdict = judge(world)
    ids = [each for each in (verdict.pck.ppid, verdict.pck.platform_instance_id) if each]
    assert ids
    for each in ids:
        assert codes(verdict, policy_for(verdict, each)) == []
        other = bytes([each[0] ^ 1]) + each[1:]
        assert codes(verdict, policy_for(verdict, other)) == ["PLATFORM_NOT_ENROLLED"]


def test_pl_05_serial_number_and_attestation_key_are_those_of_the_evidence(world, judge):
    verdict = judge(world)
    assert verdict.pck_serial == world.certificate("leaf").serial_number
    assert world.quote().count(verdict.attestation_key) == 1
    found = verdict.to_json_object()["platform"]
    assert found["pck_serial"] == f"{verdict.pck_serial:x}"
    assert found["attestation_key"] == verdict.attestation_key.hex()
