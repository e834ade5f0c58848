"""Policy: what is accepted, what is refused with which reasons, and which policies cannot exist."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from strongroom.attestation import (
    DEFAULT_MAX_COLLATERAL_AGE,
    KssFields,
    Policy,
    PolicyCode,
    PolicyUnusable,
    SgxReport,
    TcbStatus,
    TrustDomain,
    appraise,
)
from strongroom.attestation.validity import TimeWithoutZone

DAY = timedelta(days=1)
BOTH = frozenset(TrustDomain)


def policy(**changes):
    strict = {
        "name": "test",
        "mrenclave": b"\xe1" * 32,
        "mrsigner": None,
        "isvprodid": None,
        "min_isvsvn": None,
        "accepted_tcb_status": frozenset({TcbStatus.UP_TO_DATE}),
        "accepted_advisory_ids": frozenset(),
        "rejected_advisory_ids": frozenset(),
        "allow_debug": False,
        "trust_domains": frozenset({TrustDomain.SIMULATED}),
        "max_collateral_age": DEFAULT_MAX_COLLATERAL_AGE,
        "allow_dynamic_platform": True,  # as the little world's platform is
    }
    return Policy(**(strict | changes))


def by_signer(**changes):
    return policy(**({"mrenclave": None, "mrsigner": b"\x51" * 32, "isvprodid": 3, "min_isvsvn": 7} | changes))


@pytest.fixture
def verdict(judge, world):
    return judge(world)


@pytest.fixture
def with_body(verdict, lw):
    """Return a function that gives the verdict for another report."""
    sound = {"attributes": b"\x05" + bytes(15), "mr_enclave": b"\xe1" * 32, "mr_signer": b"\x51" * 32,
             "isv_prod_id": 3, "isv_svn": 7}  # fmt: skip
    return lambda **fields: replace(verdict, body=SgxReport.parse(lw.report(**(sound | fields))))


def codes(verdict, policy, at=None):
    decision = appraise(verdict, policy, at=at or verdict.verified_at)
    assert decision.accepted == (not decision.reasons)
    for reason in decision.reasons:
        assert reason.rule
        assert reason.observed != reason.expected
        assert reason.fix.endswith(".")
    return [str(reason.code) for reason in decision.reasons]


def test_what_the_policy_names_is_accepted(verdict):
    assert codes(verdict, policy()) == []
    assert codes(verdict, by_signer()) == []


def test_a_decision_has_no_truth_value(verdict):
    with pytest.raises(TypeError):
        bool(appraise(verdict, policy(), at=verdict.verified_at))


def test_id_13_simulated_evidence_is_refused_first_unless_named(with_body):
    intel = policy(trust_domains=frozenset({TrustDomain.INTEL}))
    assert codes(with_body(), intel) == ["SIMULATED_EVIDENCE"]
    everything_wrong = with_body(mr_enclave=bytes(32), attributes=b"\x06" + bytes(15))
    assert codes(everything_wrong, intel)[0] == "SIMULATED_EVIDENCE"
    assert "POLICY_DEBUG" in codes(everything_wrong, intel)


def test_intels_evidence_is_refused_where_only_simulated_is_meant(verdict):
    real = replace(verdict, trust_domain=TrustDomain.INTEL)
    assert codes(real, policy()) == ["POLICY_TRUST_DOMAIN"]
    assert codes(real, policy(trust_domains=BOTH)) == []


@pytest.mark.parametrize(
    ("flags", "allowed", "code"),
    [
        (0x07, "allow_debug", "POLICY_DEBUG"),
        (0x15, "allow_provision_key", "POLICY_PROVISION_KEY"),
        (0x25, "allow_einittoken_key", "POLICY_EINITTOKEN_KEY"),
        (0x04, None, "POLICY_INIT"),
        (0x01, None, "POLICY_MODE64"),
    ],
)
def test_id_01_each_attribute_alone(with_body, flags, allowed, code):
    verdict = with_body(attributes=bytes([flags]) + bytes(15))
    assert codes(verdict, policy()) == [code]
    if allowed:
        assert codes(verdict, policy(**{allowed: True})) == []


def test_id_02_the_measurement_is_exact(with_body):
    assert codes(with_body(mr_enclave=b"\xe1" * 31 + b"\xe0"), policy()) == ["POLICY_MRENCLAVE"]
    assert codes(with_body(mr_signer=b"\x52" * 32), by_signer()) == ["POLICY_MRSIGNER"]


def test_id_03_svn_is_a_minimum_and_product_is_exact(with_body):
    assert codes(with_body(isv_svn=6), by_signer()) == ["POLICY_ISVSVN"]
    assert codes(with_body(isv_svn=8), by_signer()) == []
    assert codes(with_body(isv_prod_id=4), by_signer()) == ["POLICY_ISVPRODID"]
    assert codes(with_body(isv_prod_id=2, isv_svn=0), by_signer()) == ["POLICY_ISVPRODID", "POLICY_ISVSVN"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("config_id", b"\x01" + bytes(63)), ("config_svn", 1), ("isv_ext_prod_id", b"\x80" + bytes(15)),
     ("isv_family_id", bytes(15) + b"\x01")],
)  # fmt: skip
def test_id_09_fields_that_no_measurement_covers_are_zero_or_as_the_policy_says(with_body, field, value):
    verdict = with_body(**{field: value})
    assert codes(verdict, policy()) == ["POLICY_KSS"]
    zero = {"config_id": bytes(64), "config_svn": 0, "isv_ext_prod_id": bytes(16), "isv_family_id": bytes(16)}
    assert codes(verdict, policy(kss=KssFields(**(zero | {field: value})))) == []
    assert codes(verdict, policy(kss=KssFields(**zero))) == ["POLICY_KSS"]
    assert codes(with_body(), policy(kss=KssFields(**(zero | {field: value})))) == ["POLICY_KSS"]


def test_ev_12_reserved_bytes_in_the_report_are_refused(with_body):
    assert codes(with_body(reserved=1), policy()) == ["POLICY_RESERVED"]


ALL_BUT_REVOKED = frozenset(TcbStatus) - {TcbStatus.REVOKED}


@pytest.mark.parametrize("status", TcbStatus)
def test_tcb_05_a_status_is_accepted_only_if_named_and_revoked_never(verdict, status):
    seen = replace(verdict, status=status)
    default = [] if status is TcbStatus.UP_TO_DATE else ["POLICY_TCB_STATUS"]
    assert codes(seen, policy()) == default
    widest = policy(accepted_tcb_status=ALL_BUT_REVOKED, accepted_advisory_ids=frozenset({"INTEL-SA-00615"}))
    assert codes(seen, widest) == (["POLICY_TCB_STATUS"] if status is TcbStatus.REVOKED else [])


def test_tcb_07_every_advisory_must_be_accepted_and_none_rejected(verdict):
    seen = replace(verdict, advisories=("INTEL-SA-00615", "INTEL-DOC-10000"))
    assert codes(seen, policy()) == ["POLICY_ADVISORY_NOT_ACCEPTED"] * 2
    one = policy(accepted_advisory_ids=frozenset({"INTEL-SA-00615"}))
    decision = appraise(seen, one, at=seen.verified_at)
    assert [(reason.code, reason.observed) for reason in decision.reasons] == [
        (PolicyCode.ADVISORY_NOT_ACCEPTED, "INTEL-DOC-10000")
    ]
    both = policy(
        accepted_advisory_ids=frozenset({"INTEL-SA-00615"}), rejected_advisory_ids=frozenset({"INTEL-DOC-10000"})
    )
    assert codes(seen, both) == ["POLICY_ADVISORY_REJECTED"]


def test_tcb_09_collateral_ages_faster_than_it_expires(verdict):
    issued = verdict.collateral_issued
    assert codes(verdict, policy(), at=issued + 7 * DAY) == []
    assert codes(verdict, policy(), at=issued + 8 * DAY) == ["COLLATERAL_TOO_OLD"]
    assert codes(verdict, policy(max_collateral_age=9 * DAY), at=issued + 8 * DAY) == []


def test_a_verdict_is_not_accepted_outside_its_dates(verdict):
    lenient = policy(max_collateral_age=365 * DAY)
    assert codes(verdict, lenient, at=verdict.earliest_expiration) == []
    assert codes(verdict, lenient, at=verdict.earliest_expiration + timedelta(seconds=1)) == ["POLICY_EXPIRED"]
    assert codes(verdict, lenient, at=verdict.latest_issue - timedelta(seconds=1)) == ["POLICY_EXPIRED"]
    with pytest.raises(TimeWithoutZone):
        appraise(verdict, lenient, at=verdict.verified_at.replace(tzinfo=None))


def test_all_reasons_are_told_at_once(with_body):
    seen = replace(with_body(mr_signer=bytes(32), isv_svn=1, attributes=b"\x07" + bytes(15)), status=TcbStatus.REVOKED)
    assert codes(seen, by_signer()) == ["POLICY_DEBUG", "POLICY_MRSIGNER", "POLICY_ISVSVN", "POLICY_TCB_STATUS"]


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        ("names nobody", {"mrenclave": None}),
        ("signer alone", {"mrenclave": None, "mrsigner": b"\x51" * 32}),
        ("no SVN", {"mrenclave": None, "mrsigner": b"\x51" * 32, "isvprodid": 1}),
        ("no product", {"mrenclave": None, "mrsigner": b"\x51" * 32, "min_isvsvn": 1}),
        ("both forms", {"mrsigner": b"\x51" * 32}),
        ("both forms in part", {"min_isvsvn": 1}),
        ("zero measurement", {"mrenclave": bytes(32)}),
        ("zero signer", {"mrenclave": None, "mrsigner": bytes(32), "isvprodid": 1, "min_isvsvn": 1}),
        ("short measurement", {"mrenclave": b"\xe1" * 31}),
        ("product too large", {"mrenclave": None, "mrsigner": b"\x51" * 32, "isvprodid": 65536, "min_isvsvn": 1}),
        ("SVN negative", {"mrenclave": None, "mrsigner": b"\x51" * 32, "isvprodid": 1, "min_isvsvn": -1}),
        ("no UpToDate", {"accepted_tcb_status": frozenset({TcbStatus.OUT_OF_DATE})}),
        ("no status", {"accepted_tcb_status": frozenset()}),
        ("Revoked", {"accepted_tcb_status": frozenset({TcbStatus.UP_TO_DATE, TcbStatus.REVOKED})}),
        (
            "hardening without a list",
            {"accepted_tcb_status": frozenset({TcbStatus.UP_TO_DATE, TcbStatus.SW_HARDENING_NEEDED})},
        ),
        (
            "hardening and configuration without a list",
            {"accepted_tcb_status": frozenset({TcbStatus.UP_TO_DATE, TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED})},
        ),
        (
            "accepted and rejected",
            {"accepted_advisory_ids": frozenset({"A"}), "rejected_advisory_ids": frozenset({"A"})},
        ),
        ("no domain", {"trust_domains": frozenset()}),
        ("no age", {"max_collateral_age": timedelta(0)}),
    ],
)
def test_id_02_a_policy_that_contradicts_itself_cannot_be_made(why, changes):
    with pytest.raises(PolicyUnusable) as caught:
        policy(**changes)
    assert caught.value.code == "SR-POLICY-UNUSABLE", why


@pytest.mark.parametrize("left_out", ["trust_domains", "allow_debug", "accepted_tcb_status", "max_collateral_age"])
def test_a_check_cannot_be_dropped_by_leaving_it_out(left_out):
    fields = {name: getattr(policy(), name) for name in Policy.__dataclass_fields__ if name != left_out}
    with pytest.raises(TypeError):
        Policy(**fields)


def test_every_rule_has_a_code_that_is_tested_here():
    places = Path(__file__).parent.glob("test_policy*.py")
    source = "".join(place.read_text(encoding="utf-8") for place in places)
    untested = [code for code in PolicyCode if code.value not in source and f"PolicyCode.{code.name}" not in source]
    assert untested == []
