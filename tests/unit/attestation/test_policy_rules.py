"""Intel's appraisal vocabulary and ours, rule by rule, on claims of either kind of TEE: pass, fail, and unknown."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.attestation import (
    Binding,
    BindingKind,
    Claims,
    EnrolledPlatform,
    EvidenceSource,
    KssFields,
    NonceTooShort,
    Policy,
    PolicyUnusable,
    TcbStatus,
    Tee,
    TrustDomain,
    appraise,
    report_data_for,
)
from strongroom.attestation.policy import production_problems

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
UP, OUT = TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE
PPID, INSTANCE = b"P" * 16, b"I" * 16
COMMON = {
    "source": EvidenceSource.QUOTE, "trust_domain": TrustDomain.INTEL, "tcb_status": UP, "advisories": (),
    "tcb_date": AT - 90 * DAY, "tcb_eval_ref_num": 19, "fmspc": "00906ED50000", "pck_ppid": PPID,
    "platform_instance_id": INSTANCE, "sgx_type": 1, "dynamic_platform": False, "cached_keys": False,
    "smt_enabled": False, "collateral_issued": AT - DAY, "not_before": AT - DAY, "not_after": AT + DAY,
    "judged_at": AT, "in_grace": (), "debug": False, "report_data": bytes(range(64)),
}  # fmt: skip
ENCLAVE = Claims(
    **COMMON, tee=Tee.SGX, mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=3, isv_svn=7,
    attributes=b"\x05" + bytes(7), xfrm=b"\xe7" + bytes(7), misc_select=1, config_id=bytes(64), config_svn=0,
    isv_ext_prod_id=bytes(16), isv_family_id=bytes(16), reserved_clear=True,
)  # fmt: skip
REGISTERS = {f"rtmr{number}": bytes([number + 1]) * 48 for number in range(4)}
DOMAIN = Claims(
    **COMMON, tee=Tee.TDX, tee_tcb_svn=bytes(16), mr_seam=b"\x5e" * 48, mr_signer_seam=bytes(48),
    seam_attributes=bytes(8), td_attributes=bytes.fromhex("0000001000000000"), xfam=bytes.fromhex("e702060000000000"),
    mr_td=b"\xda" * 48, mr_config_id=bytes(48), mr_owner=bytes(48), mr_owner_config=bytes(48),
    mr_service_td=bytes(48), **REGISTERS,
)  # fmt: skip
BASE = {
    "name": "test", "mrenclave": None, "mrsigner": None, "isvprodid": None, "min_isvsvn": None,
    "accepted_tcb_status": frozenset({UP}), "accepted_advisory_ids": frozenset(), "rejected_advisory_ids": frozenset(),
    "allow_debug": False, "trust_domains": frozenset({TrustDomain.INTEL}), "max_collateral_age": 7 * DAY,
}  # fmt: skip


def sgx(**changes):
    return Policy(**(BASE | {"mrenclave": b"\xe1" * 32} | changes))


def tdx(**changes):
    named = {word: REGISTERS[word] for word in ("rtmr1", "rtmr2")}
    return Policy(**(BASE | {"mrtd": b"\xda" * 48} | named | changes))


def policy_for(claims, **changes):
    return (sgx if claims.tee is Tee.SGX else tdx)(**changes)


def codes(claims, policy, at=AT, **more):
    decision = appraise(claims, policy, at=at, **more)
    assert decision.accepted == (not decision.reasons)
    assert all(reason.rule and reason.observed and reason.expected for reason in decision.reasons)
    assert all(reason.fix.endswith(".") for reason in decision.reasons)
    return [str(reason.code) for reason in decision.reasons]


def check_of(claims, policy, name):
    [found] = [check for check in appraise(claims, policy, at=AT).checks if check.name == name]
    return found


@pytest.mark.parametrize("claims", [ENCLAVE, DOMAIN], ids=["SGX", "TDX"])
def test_what_the_policy_names_is_accepted_and_every_check_is_listed(claims):
    decision = appraise(claims, policy_for(claims), at=AT)
    assert decision.accepted
    assert {check.outcome for check in decision.checks} == {"pass", "unknown"}
    assert [check.name for check in decision.checks if check.outcome == "unknown"] == ["max_evidence_age_seconds"]
    assert all(check.detail and check.to_json_object()["outcome"] for check in decision.checks)


def test_a_rule_for_the_other_kind_of_tee_refuses():
    assert codes(DOMAIN, sgx()) == ["POLICY_TEE"]
    assert codes(ENCLAVE, tdx()) == ["POLICY_TEE"]


@pytest.mark.parametrize(
    ("field", "value", "code", "weakened"),
    [
        ("debug", True, "POLICY_DEBUG", {"allow_debug": True}),
        ("td_attributes", "0000003000000000", "POLICY_MIGRATABLE", {"allow_migratable": True}),
        ("td_attributes", "0000005000000000", "POLICY_PKS", {"allow_pks": True}),
        ("td_attributes", "0000009000000000", "POLICY_KL", {"allow_kl": True}),
        ("td_attributes", "0000001000000080", "POLICY_PERFMON", {"allow_perfmon": True}),
        ("td_attributes", "0000000000000000", "POLICY_SEPT_VE_DISABLE", {"require_sept_ve_disable": False}),
        ("td_attributes", "0200001000000000", "POLICY_RESERVED", None),
        ("td_attributes", "0000001800000000", "POLICY_RESERVED", None),
        ("mr_service_td", "01" * 48, "POLICY_SERVICE_TD", {"allow_service_td": True}),
        ("mr_config_id", "01" * 48, "POLICY_MR_CONFIG_ID", {"mr_config_id": b"\x01" * 48}),
        ("mr_owner", "01" * 48, "POLICY_MR_OWNER", {"mr_owner": b"\x01" * 48}),
        ("mr_owner_config", "01" * 48, "POLICY_MR_OWNER_CONFIG", {"mr_owner_config": b"\x01" * 48}),
        ("mr_td", "db" * 48, "POLICY_MRTD", None),
        ("rtmr1", "ff" * 48, "POLICY_RTMR1", None),
        ("rtmr2", "ff" * 48, "POLICY_RTMR2", None),
    ],
)
def test_id_10_each_property_of_a_trust_domain_alone(field, value, code, weakened):
    seen = replace(DOMAIN, **{field: bytes.fromhex(value) if isinstance(value, str) else value})
    assert codes(seen, tdx()) == [code]
    if weakened is not None:
        assert codes(seen, tdx(**weakened)) == []


@pytest.mark.parametrize(
    ("word", "field", "code"),
    [("rtmr0", "rtmr0", "POLICY_RTMR0"), ("rtmr1", "rtmr1", "POLICY_RTMR1"), ("rtmr3", "rtmr3", "POLICY_RTMR3"),
     ("mr_seam", "mr_seam", "POLICY_MR_SEAM"), ("mr_signer_seam", "mr_signer_seam", "POLICY_MR_SIGNER_SEAM"),
     ("xfam", "xfam", "POLICY_XFAM"), ("td_attributes", "td_attributes", "POLICY_TD_ATTRIBUTES")],
)  # fmt: skip
def test_id_10_each_register_is_compared_once_it_is_named(word, field, code):
    value = getattr(DOMAIN, field)
    named = tdx(**{word: value})
    assert codes(DOMAIN, named) == []
    last = bytes([value[-1] ^ 0x80])
    assert code in codes(replace(DOMAIN, **{field: value[:-1] + last}), named)
    assert code in codes(replace(DOMAIN, **{field: None}), named)


@pytest.mark.parametrize(
    ("word", "value", "mask", "other", "code"),
    [("attributes", "0500000000000000", "ff00000000000000", {"attributes": b"\x85" + bytes(7)}, "POLICY_ATTRIBUTES"),
     ("xfrm", "e700000000000000", "ffff000000000000", {"xfrm": b"\xe7\x01" + bytes(6)}, "POLICY_XFRM"),
     ("miscselect", "01000000", "ffffffff", {"misc_select": 0}, "POLICY_MISCSELECT")],
)  # fmt: skip
def test_id_09_attribute_bits_are_compared_under_their_mask(word, value, mask, other, code):
    exact = sgx(**{word: bytes.fromhex(value)})
    masked = sgx(**{word: bytes.fromhex(value), f"{word}_mask": bytes.fromhex(mask)})
    assert codes(ENCLAVE, exact) == []
    assert codes(ENCLAVE, masked) == []
    assert codes(replace(ENCLAVE, **other), masked) == [code]
    elsewhere = {"xfrm": b"\xe7" + bytes(6) + b"\x80"} if word == "xfrm" else {}
    assert codes(replace(ENCLAVE, **elsewhere), masked) == []


def test_kss_fields_are_told_one_by_one():
    seen = replace(ENCLAVE, config_svn=4, isv_family_id=b"\x01" * 16)
    assert codes(seen, sgx()) == ["POLICY_KSS", "POLICY_KSS"]
    kss = KssFields(config_id=bytes(64), config_svn=4, isv_ext_prod_id=bytes(16), isv_family_id=b"\x01" * 16)
    assert codes(seen, sgx(kss=kss)) == []


PROVIDERS = {"accepted_platform_provider_ids": frozenset({"ours"})}


@pytest.mark.parametrize(
    ("changes", "policy", "code"),
    [
        ({"sgx_type": 0}, {"accepted_sgx_types": frozenset({1, 2})}, "POLICY_SGX_TYPE"),
        ({"sgx_type": None}, {"accepted_sgx_types": frozenset({1, 2})}, "POLICY_SGX_TYPE"),
        ({"platform_provider_id": "theirs"}, PROVIDERS, "POLICY_PLATFORM_PROVIDER"),
        ({"platform_provider_id": None}, PROVIDERS, "POLICY_PLATFORM_PROVIDER"),
        ({"dynamic_platform": True}, {}, "POLICY_DYNAMIC_PLATFORM"),
        ({"cached_keys": True}, {}, "POLICY_CACHED_KEYS"),
        ({"smt_enabled": True}, {}, "POLICY_SMT_ENABLED"),
        ({"smt_enabled": None}, {"required": frozenset({"allow_smt_enabled"})}, "POLICY_SMT_ENABLED"),
        ({}, {"denied_platforms": frozenset({PPID})}, "POLICY_PLATFORM_DENIED"),
        ({}, {"denied_platforms": frozenset({INSTANCE})}, "POLICY_PLATFORM_DENIED"),
        ({"pck_ppid": None, "platform_instance_id": None}, {"denied_platforms": frozenset({b"x" * 16})},
         "POLICY_PLATFORM_DENIED"),
        ({}, {"denied_fmspc": frozenset({"00906ED50000"})}, "POLICY_FMSPC_DENIED"),
        ({"fmspc": "00906ed50000"}, {"denied_fmspc": frozenset({"00906ED50000"})}, "POLICY_FMSPC_DENIED"),
        ({"fmspc": None}, {"denied_fmspc": frozenset({"00906ED50000"})}, "POLICY_FMSPC_DENIED"),
    ],
)  # fmt: skip
def test_pl_06_each_property_of_a_platform_alone(changes, policy, code):
    assert codes(replace(ENCLAVE, **changes), sgx(**policy)) == [code]


def test_pl_06_undefined_is_not_false_and_is_told_as_undefined():
    undefined = replace(ENCLAVE, dynamic_platform=None, cached_keys=None, smt_enabled=None)
    assert codes(undefined, sgx()) == []
    assert check_of(undefined, sgx(), "allow_smt_enabled").outcome == "unknown"
    required = sgx(required=frozenset({"allow_smt_enabled"}))
    [reason] = appraise(undefined, required, at=AT).reasons
    assert "unknown" in reason.observed
    allowed = sgx(allow_smt_enabled=True, allow_cached_keys=True, allow_dynamic_platform=True)
    seen = replace(ENCLAVE, dynamic_platform=True, cached_keys=True, smt_enabled=True)
    assert codes(seen, allowed) == []


def enrolled(*entries):
    return tuple(EnrolledPlatform(id=identity, until=until) for identity, until in entries)


def test_pl_01_a_foreign_machine_with_the_same_measurement_is_not_enrolled():
    ours = sgx(platforms=enrolled((b"o" * 16, AT + DAY)))
    assert codes(ENCLAVE, ours) == ["PLATFORM_NOT_ENROLLED"]
    assert codes(replace(ENCLAVE, pck_ppid=None, platform_instance_id=None), ours) == ["PLATFORM_NOT_ENROLLED"]
    for identity in (PPID, INSTANCE):
        assert codes(ENCLAVE, sgx(platforms=enrolled((identity, AT + DAY)))) == []


def test_pl_03_an_enrolment_that_ran_out_counts_no_more():
    until = sgx(platforms=enrolled((PPID, AT)))
    assert codes(ENCLAVE, until) == ["PLATFORM_ENROLMENT_EXPIRED"]
    later = replace(ENCLAVE, judged_at=AT - DAY)
    assert codes(later, until, at=AT - timedelta(seconds=1)) == []


def test_pl_05_a_deny_list_wins_over_an_enrolment():
    both = sgx(platforms=enrolled((PPID, AT + DAY)), denied_platforms=frozenset({PPID}))
    assert codes(ENCLAVE, both) == ["POLICY_PLATFORM_DENIED"]


ROOT, KEY = "46" * 48, bytes(range(64))
KEYED = {"pck_serial": 0x5C, "attestation_key": KEY, "root_key_id": ROOT}


@pytest.mark.parametrize(
    ("word", "entry", "claim", "code"),
    [
        ("denied_pck_serials", 0x5C, "pck_serial", "POLICY_PCK_DENIED"),
        ("denied_attestation_keys", KEY, "attestation_key", "POLICY_ATTESTATION_KEY_DENIED"),
        ("denied_roots", bytes.fromhex(ROOT), "root_key_id", "POLICY_ROOT_DENIED"),
        ("denied_fmspc", "00906ED50000", "fmspc", "POLICY_FMSPC_DENIED"),
        ("denied_platforms", PPID, "pck_ppid", "POLICY_PLATFORM_DENIED"),
        ("denied_platforms", INSTANCE, "platform_instance_id", "POLICY_PLATFORM_DENIED"),
    ],
)
@pytest.mark.parametrize("body", [ENCLAVE, DOMAIN], ids=["SGX", "TDX"])
def test_pl_05_each_thing_that_can_be_compromised_can_be_denied(body, word, entry, claim, code):
    seen = replace(body, **KEYED)
    policy = policy_for(body, platforms=enrolled((PPID, AT + DAY), (INSTANCE, AT + DAY)), **{word: frozenset({entry})})
    assert codes(seen, policy) == [code]
    nothing = {claim: None} | ({"pck_ppid": None, "platform_instance_id": None} if word == "denied_platforms" else {})
    assert code in codes(replace(seen, **nothing), policy)  # what is not said is not known to be good
    spared = replace(policy, **{word: frozenset()})
    assert codes(seen, spared) == []


def test_pl_05_a_deny_list_is_not_let_pass_as_unknown():
    for word in ("denied_platforms", "denied_fmspc", "denied_pck_serials", "denied_attestation_keys", "denied_roots"):
        with pytest.raises(PolicyUnusable, match="cannot stay unknown"):
            sgx(accept_unknown=frozenset({word}))


@pytest.mark.parametrize(
    "entry",
    [{"denied_fmspc": frozenset({"00906ed50000"})}, {"denied_fmspc": frozenset({"906ED50000"})},
     {"denied_fmspc": frozenset({" 00906ED50000"})}, {"denied_pck_serials": frozenset({0})},
     {"denied_pck_serials": frozenset({-1})}, {"denied_attestation_keys": frozenset({KEY[:32]})},
     {"denied_attestation_keys": frozenset({b"\x04" + KEY})}, {"denied_roots": frozenset({bytes(32)})},
     {"denied_platforms": frozenset({bytes(16)})}],
    ids=str,
)  # fmt: skip
def test_pl_05_an_entry_that_could_match_nothing_is_refused(entry):
    with pytest.raises(PolicyUnusable):
        sgx(**entry)


def test_pl_02_an_id_counts_only_as_the_certificate_signs_it():
    policy = sgx(platforms=enrolled((PPID, AT + DAY)))
    assert codes(replace(ENCLAVE, pck_ppid=b"F" * 16, platform_instance_id=None), policy) == ["PLATFORM_NOT_ENROLLED"]
    assert codes(replace(ENCLAVE, pck_ppid=None, platform_instance_id=None), policy) == ["PLATFORM_NOT_ENROLLED"]


def test_pl_03_an_enrolment_ends_at_its_moment_and_not_after_it():
    policy = sgx(platforms=enrolled((PPID, AT)))
    assert codes(ENCLAVE, policy) == ["PLATFORM_ENROLMENT_EXPIRED"]
    assert codes(ENCLAVE, sgx(platforms=enrolled((PPID, AT + timedelta(microseconds=1))))) == []


def test_pl_07_reasons_name_no_platform_id():
    policies = (sgx(platforms=enrolled((b"o" * 16, AT + DAY))), sgx(denied_platforms=frozenset({PPID})))
    for policy in policies:
        text = str(appraise(ENCLAVE, policy, at=AT))
        assert PPID.hex() not in text
        assert (b"o" * 16).hex() not in text


def test_tcb_08_evaluation_numbers_and_level_dates_are_minima():
    assert codes(ENCLAVE, sgx(min_eval_num=19)) == []
    assert codes(ENCLAVE, sgx(min_eval_num=20)) == ["POLICY_EVAL_NUM"]
    assert codes(replace(ENCLAVE, tcb_eval_ref_num=None), sgx(min_eval_num=1)) == ["POLICY_EVAL_NUM"]
    assert codes(ENCLAVE, sgx(min_tcb_level_date=AT - 90 * DAY)) == []
    assert codes(ENCLAVE, sgx(min_tcb_level_date=AT - 89 * DAY)) == ["POLICY_TCB_LEVEL_DATE"]


@pytest.mark.parametrize("status", [each for each in TcbStatus if each is not TcbStatus.REVOKED])
def test_tcb_10_the_platform_grace_applies_to_outdated_statuses_alone(status):
    wide = frozenset(TcbStatus) - {TcbStatus.REVOKED}
    given = {"accepted_tcb_status": wide, "accepted_advisory_ids": frozenset({"INTEL-SA-00615"})}
    seen = replace(ENCLAVE, tcb_status=status)
    assert codes(seen, sgx(**given, platform_grace=90 * DAY)) == []
    late = codes(seen, sgx(**given, platform_grace=89 * DAY))
    assert late == (["POLICY_PLATFORM_GRACE"] if status.value.startswith("OutOfDate") else [])


def test_tcb_10_expired_collateral_counts_only_where_the_verifier_excused_it_now():
    over = replace(ENCLAVE, not_after=AT - DAY, in_grace=("pck_crl",))
    assert codes(over, sgx()) == ["POLICY_EXPIRED"]
    assert codes(over, sgx(collateral_grace=DAY)) == []
    assert codes(over, sgx(collateral_grace=DAY - timedelta(seconds=1))) == ["POLICY_EXPIRED"]
    assert codes(replace(over, in_grace=()), sgx(collateral_grace=DAY)) == ["POLICY_EXPIRED"]
    assert codes(replace(over, judged_at=AT - DAY), sgx(collateral_grace=DAY)) == ["POLICY_EXPIRED"]
    early = replace(over, not_before=AT + DAY, not_after=AT + 2 * DAY)
    assert codes(early, sgx(collateral_grace=9 * DAY)) == ["POLICY_EXPIRED"]


def test_evidence_that_says_its_time_grows_old():
    fresh, stale = (replace(ENCLAVE, evidence_time=AT - timedelta(seconds=age)) for age in (120, 121))
    assert codes(fresh, sgx()) == []
    assert codes(stale, sgx()) == ["POLICY_EVIDENCE_AGE"]
    assert codes(stale, sgx(max_evidence_age=timedelta(seconds=121))) == []
    assert codes(ENCLAVE, sgx(max_evidence_age=timedelta(seconds=121))) == ["POLICY_EVIDENCE_AGE"]


def test_report_data_are_exact_where_named():
    assert codes(ENCLAVE, sgx(report_data=bytes(range(64)))) == []
    assert codes(ENCLAVE, sgx(report_data=bytes(64))) == ["POLICY_REPORT_DATA"]


def test_a_binding_is_recomputed_and_of_an_accepted_kind():
    key = Binding(kind=BindingKind.KEY, public_key_spki=b"spki")
    transcript = Binding(
        kind=BindingKind.TRANSCRIPT, public_key_spki=b"spki", purpose="release", nonce=bytes(32), deployment="d"
    )
    by_key = replace(ENCLAVE, report_data=hashlib.sha256(b"spki").digest() + bytes(32))
    by_transcript = replace(ENCLAVE, report_data=report_data_for("release", b"spki", bytes(32), "d"))
    keys = sgx(bindings=frozenset({BindingKind.KEY}))
    assert codes(by_key, keys, binding=key) == []
    assert codes(by_key, keys) == ["POLICY_BINDING"]
    assert codes(by_transcript, keys, binding=transcript) == ["POLICY_BINDING"]
    assert codes(by_transcript, sgx(bindings=frozenset(BindingKind)), binding=transcript) == []
    assert codes(by_key, sgx(bindings=frozenset(BindingKind)), binding=transcript) == ["POLICY_BINDING"]
    with pytest.raises(NonceTooShort):
        replace(transcript, nonce=b"").holds_for(bytes(64))


def test_what_a_token_does_not_say_is_refused_unless_accepted_as_unknown_by_name():
    token = Claims(
        source=EvidenceSource.MAA, trust_domain=TrustDomain.INTEL, tee=Tee.SGX, debug=False, not_before=AT - DAY,
        not_after=AT + DAY, mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=3, isv_svn=7,
    )  # fmt: skip
    refused = codes(token, sgx())
    assert {"POLICY_TCB_STATUS", "POLICY_ADVISORY_NOT_ACCEPTED", "COLLATERAL_TOO_OLD", "POLICY_INIT", "POLICY_MODE64",
            "POLICY_PROVISION_KEY", "POLICY_EINITTOKEN_KEY", "POLICY_RESERVED", "POLICY_KSS"
            } == set(refused)  # fmt: skip
    silent = {"attributes", "allow_provision_key", "allow_einittoken_key", "reserved", "config_id", "config_svn",
              "isv_ext_prod_id", "isv_family_id", "accepted_tcb_status", "accepted_advisory_ids",
              "max_collateral_age_days"}  # fmt: skip
    assert codes(token, sgx(accept_unknown=frozenset(silent))) == []
    bad = replace(token, tcb_status=TcbStatus.REVOKED, debug=None)
    assert codes(bad, sgx(accept_unknown=frozenset(silent))) == ["POLICY_DEBUG", "POLICY_TCB_STATUS"]
    empty = Claims(source=EvidenceSource.MAA, trust_domain=TrustDomain.INTEL)
    assert {"POLICY_MRENCLAVE", "POLICY_EXPIRED", "POLICY_TEE"} <= set(codes(empty, sgx()))
    assert {"POLICY_MRTD", "POLICY_SEPT_VE_DISABLE"} <= set(codes(empty, tdx()))


WIDE_STATUS = {"accepted_tcb_status": frozenset({UP, OUT})}
SAID = "POLICY-UNUSABLE"


@pytest.mark.parametrize(
    ("make", "changes", "said"),
    [
        (tdx, {"rtmr1": None, "rtmr2": None}, "mrtd covers the firmware only"),
        (tdx, {"rtmr1": None, "rtmr2": None, "mr_config_id": bytes(48)}, "mrtd covers the firmware only"),
        (tdx, {"rtmr1": None}, "any kernel could extend the others"),
        (tdx, {"rtmr1": None, "rtmr2": None, "rtmr3": b"\x04" * 48}, "any kernel could extend the others"),
        (tdx, {"rtmr1": bytes(48), "rtmr2": None, "rtmr3": b"\x04" * 48}, "not all zero"),
        (tdx, {"rtmr1": bytes(48), "rtmr2": bytes(48), "rtmr3": bytes(48)}, "not all zero"),
        (tdx, {"mrtd": bytes(48)}, "48 bytes"),
        (tdx, {"mrtd": b"\xda" * 32}, "48 bytes"),
        (tdx, {"rtmr0": bytes(32)}, "48 bytes"),
        (tdx, {"mrenclave": b"\xe1" * 32}, "drop it"),
        (tdx, {"min_isvsvn": 1}, "drop it"),
        (tdx, {"xfrm": bytes(8)}, "for an SGX enclave"),
        (tdx, {"allow_provision_key": True}, "for an SGX enclave"),
        (sgx, {"rtmr0": bytes(48)}, "for TDX"),
        (sgx, {"allow_pks": True}, "for TDX"),
        (sgx, {"require_sept_ve_disable": False}, "for TDX"),
        (sgx, {"xfrm_mask": b"\xff" * 8}, "without xfrm"),
        (sgx, {"xfrm": bytes(8), "xfrm_mask": bytes(8)}, "all zero"),
        (sgx, {"xfrm": bytes(4)}, "8 bytes"),
        (sgx, {"xfrm": b"\x03" + bytes(7), "xfrm_mask": b"\x01" + bytes(7)}, "outside its mask"),
        (sgx, {"attributes": b"\x07" + bytes(7)}, "wants DEBUG set"),
        (sgx, {"attributes": b"\x15" + bytes(7)}, "wants PROVISION_KEY set"),
        (tdx, {"td_attributes": b"\x01\x00\x00\x10" + bytes(4)}, "wants DEBUG set"),
        (tdx, {"td_attributes": bytes(8)}, "wants SEPT_VE_DISABLE clear"),
        (sgx, {"platform_grace": DAY}, "wants OutOfDate"),
        (sgx, WIDE_STATUS | {"platform_grace": DAY, "collateral_grace": DAY}, "exclude each other"),
        (sgx, WIDE_STATUS | {"platform_grace": DAY, "min_eval_num": 19}, "min_eval_num excludes"),
        (sgx, {"collateral_grace": DAY, "min_eval_num": 19}, "min_eval_num excludes"),
        (sgx, WIDE_STATUS | {"platform_grace": timedelta(0)}, "not positive"),
        (sgx, {"collateral_grace": -DAY}, "negative"),
        (sgx, {"min_eval_num": -1}, "negative"),
        (sgx, {"max_evidence_age": timedelta(0)}, "not positive"),
        (sgx, {"min_tcb_level_date": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001  # that is the case
        (sgx, {"accepted_sgx_types": frozenset()}, "is empty"),
        (sgx, {"accepted_sgx_types": frozenset({3})}, "0, 1 and 2"),
        (sgx, {"accepted_platform_provider_ids": frozenset()}, "is empty"),
        (sgx, {"platforms": ()}, "is empty"),
        (sgx, {"platforms": enrolled((bytes(16), AT))}, "not all zero"),
        (sgx, {"platforms": enrolled((b"x" * 15, AT))}, "16 bytes"),
        (sgx, {"platforms": enrolled((PPID, AT), (PPID, AT + DAY))}, "twice"),
        (sgx, {"denied_platforms": frozenset({b"x"})}, "16 bytes"),
        (sgx, {"bindings": frozenset()}, "is empty"),
        (sgx, {"report_data": bytes(32)}, "64 bytes"),
        (sgx, {"required": frozenset({"mrenclave"})}, "required takes"),
        (sgx, {"required": frozenset({"allow_smt_enabled"}), "allow_smt_enabled": True}, "drop one"),
        (sgx, {"accept_unknown": frozenset({"mrenclave"})}, "cannot stay unknown"),
        (sgx, {"accept_unknown": frozenset({"allow_debug"})}, "cannot stay unknown"),
        (sgx, {"accept_unknown": frozenset({"attributes"}), "attributes": b"\x05" + bytes(7)}, "is compared"),
        (sgx, {"kss": KssFields(config_id=b"", config_svn=0, isv_ext_prod_id=b"", isv_family_id=b"")}, "config_id"),
        (sgx, {"kss": KssFields(config_id=bytes(64), config_svn=-1, isv_ext_prod_id=bytes(16),
                                isv_family_id=bytes(16))}, "config_svn"),
    ],
)  # fmt: skip
def test_tcb_13_what_contradicts_itself_or_decides_nothing_cannot_be_made(make, changes, said):
    with pytest.raises(PolicyUnusable) as caught:
        make(**changes)
    assert said in caught.value.sentence


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"allow_debug": True}, "allow_debug"), ({"allow_provision_key": True}, "allow_provision_key"),
     ({"allow_einittoken_key": True}, "allow_einittoken_key"),
     ({"trust_domains": frozenset(TrustDomain)}, "simulated")],
)  # fmt: skip
def test_id_01_the_production_profile_allows_neither_debug_nor_simulated(changes, said):
    assert said in " ".join(production_problems(sgx(**changes)))
    assert not list(production_problems(sgx()))


def test_pl_01_the_hardened_profile_wants_known_platforms():
    assert "platforms" in " ".join(production_problems(sgx(), hardened=True))
    assert not list(production_problems(sgx(platforms=enrolled((PPID, AT))), hardened=True))


@pytest.mark.parametrize(
    "named",
    [{"rtmr2": None}, {"rtmr1": bytes(48)}, {"rtmr1": None, "rtmr2": None, "mr_config_id": b"\x01" * 48}],
    ids=["kernel alone", "firmware that measures into rtmr2", "firmware that checks its configuration"],
)
def test_id_10_a_trust_domain_can_be_named_by_what_its_firmware_measures_first(named):
    assert tdx(**named).tee is Tee.TDX


def test_what_to_do_about_the_unknown_is_not_what_to_do_about_the_wrong():
    token = replace(ENCLAVE, source=EvidenceSource.MAA, attributes=None, tcb_status=None, fmspc=None)
    policy = sgx(denied_fmspc=frozenset({"00906ED50000"}))
    fixes = {reason.rule: reason.fix for reason in appraise(token, policy, at=AT).reasons}
    for word in ("attributes", "allow_provision_key", "accepted_tcb_status"):
        assert f"name {word} in accept_unknown" in fixes[word]
    assert "accept_unknown" not in fixes["denied_fmspc"]  # which may never stay unknown
    wrong = appraise(replace(ENCLAVE, tcb_status=OUT), policy, at=AT)
    assert not any("accept_unknown" in reason.fix for reason in wrong.reasons)
