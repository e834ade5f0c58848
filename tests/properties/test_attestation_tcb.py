"""Levels, statuses and policies under any numbers: what may never get better, and what may never matter."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from strongroom.attestation import (
    Anchor,
    BodyType,
    EvidenceRefused,
    PckClaims,
    Policy,
    SgxReport,
    TcbStatus,
    TdReport,
    Tee,
    TrustDomain,
    Verdict,
    appraise,
)
from strongroom.attestation.anchors import INTEL_ROOT_KEY
from strongroom.attestation.binding import report_data_for
from strongroom.attestation.isv_levels import IsvLevel
from strongroom.attestation.status import converge
from strongroom.attestation.tcb import evaluate, match_level, match_tdx_level
from strongroom.attestation.tcb_info import parse_tcb_info

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SVN = st.integers(0, 255)
COMPONENTS = st.lists(st.integers(0, 4), min_size=16, max_size=16).map(tuple)  # small, so that levels are reached
RELAUNCH = {TcbStatus.TD_RELAUNCH_ADVISED, TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED}
STATUS = st.sampled_from([status for status in TcbStatus if status not in RELAUNCH])  # the words of reference data


@st.composite
def tables(draw):
    """Draw levels as Intel writes them; no two are equal."""
    keys = draw(st.lists(st.tuples(COMPONENTS, st.integers(0, 4)), min_size=1, max_size=6, unique=True))
    return [
        {
            "tcb": {"sgxtcbcomponents": [{"svn": svn} for svn in components], "pcesvn": pce_svn},
            "tcbDate": "2025-01-01T00:00:00Z",
            "tcbStatus": draw(STATUS).value,
        }
        for components, pce_svn in keys
    ]


def parsed(levels):
    head = {"id": "SGX", "version": 3, "issueDate": "2026-01-01T00:00:00Z", "nextUpdate": "2026-01-31T00:00:00Z",
            "fmspc": "00" * 6, "pceId": "0000", "tcbType": 0, "tcbEvaluationDataNumber": 1}  # fmt: skip
    return parse_tcb_info(json.dumps(head | {"tcbLevels": levels}).encode()).levels


def matched(components, pce_svn, levels):
    """Return the matched level; None if there is none."""
    try:
        return match_level(components, pce_svn, levels)
    except EvidenceRefused as refused:
        assert refused.reason == "TCB_NOT_SUPPORTED"
        return None


@given(tables(), st.randoms(use_true_random=False))
def test_tcb_01_permuting_levels_changes_nothing(levels, random):
    shuffled = levels.copy()
    random.shuffle(shuffled)
    assert parsed(shuffled) == parsed(levels)


@given(tables(), COMPONENTS, st.integers(0, 4), st.integers(0, 16), st.integers(1, 4))
def test_tcb_01_raising_an_svn_never_selects_a_lower_level(levels, components, pce_svn, index, more):
    levels = parsed(levels)
    before = matched(components, pce_svn, levels)
    raised = tuple(svn + more * (at == index) for at, svn in enumerate(components))
    after = matched(raised, pce_svn + more * (index == 16), levels)
    if before is not None:
        assert after is not None
        assert after.rank >= before.rank


@given(tables(), COMPONENTS, st.integers(0, 4))
def test_tcb_01_the_matched_level_is_the_highest_that_is_reached(levels, components, pce_svn):
    levels = parsed(levels)
    reached = [level for level in levels if pce_svn >= level.pce_svn
               and all(own >= wanted for own, wanted in zip(components, level.components, strict=True))]  # fmt: skip
    assert matched(components, pce_svn, levels) == max(reached, key=lambda level: level.rank, default=None)


@given(tables(), COMPONENTS, st.integers(0, 4))
def test_tcb_01_a_level_below_the_matched_one_does_not_matter(levels, components, pce_svn):
    levels = parsed(levels)
    level = matched(components, pce_svn, levels)
    if level is not None:
        assert matched(components, pce_svn, [other for other in levels if other.rank >= level.rank]) == level


PART_STATUS = st.sampled_from([TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE, TcbStatus.REVOKED])


# TDX: the same properties with two more vectors of SVNs. tee_tcb_svn[1] selects the module and is left alone.
TEE_SVN = st.lists(st.integers(0, 3), min_size=16, max_size=16)


@st.composite
def tdx_infos(draw):
    """Draw a TDX TCB info: levels with a few SVNs that matter, and module identities of versions 1 and 3."""
    svns = st.lists(st.integers(0, 2), min_size=2, max_size=2)
    keys = st.tuples(svns, st.integers(0, 2), svns, svns)
    levels = [
        {
            "tcb": {
                "sgxtcbcomponents": [{"svn": svn} for svn in [*sgx, *[0] * 14]],
                "pcesvn": pce_svn,
                "tdxtcbcomponents": [{"svn": svn} for svn in [*module, *tdx, *[0] * 12]],
            },
            "tcbDate": "2025-01-01T00:00:00Z",
            "tcbStatus": draw(STATUS).value,
        }
        for sgx, pce_svn, module, tdx in draw(st.lists(keys, min_size=1, max_size=6, unique_by=repr))
    ]
    module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
    isv = st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True)
    identities = [
        {"id": f"TDX_{version:02}", **module, "tcbLevels": [
            {"tcb": {"isvsvn": svn}, "tcbDate": "2025-01-01T00:00:00Z", "tcbStatus": draw(PART_STATUS).value}
            for svn in draw(isv)]}
        for version in (1, 3)
    ]  # fmt: skip
    head = {"id": "TDX", "version": 3, "issueDate": "2026-01-01T00:00:00Z", "nextUpdate": "2026-01-31T00:00:00Z",
            "fmspc": "00" * 6, "pceId": "0000", "tcbType": 0, "tcbEvaluationDataNumber": 1}  # fmt: skip
    return head | {"tdxModule": module, "tdxModuleIdentities": identities, "tcbLevels": levels}


PLATFORMS = st.tuples(st.lists(st.integers(0, 2), min_size=2, max_size=2), st.integers(0, 2), TEE_SVN)


def tdx_info(info):
    return parse_tcb_info(json.dumps(info).encode())


def tdx_matched(platform, levels):
    """Return the matched TDX level; None if there is none."""
    sgx, pce_svn, tee_svn = platform
    try:
        return match_tdx_level([*sgx, *[0] * 14], pce_svn, bytes(tee_svn), levels)
    except EvidenceRefused as refused:
        assert refused.reason == "TCB_NOT_SUPPORTED"
        return None


@given(tdx_infos(), PLATFORMS)
def test_tcb_01_the_tdx_level_is_the_highest_that_is_reached(info, platform):
    levels = tdx_info(info).levels
    sgx, pce_svn, tee_svn = platform
    first = 2 if tee_svn[1] else 0
    reached = [
        level for level in levels
        if pce_svn >= level.pce_svn
        and all(own >= wanted for own, wanted in zip([*sgx, *[0] * 14], level.components, strict=True))
        and all(own >= wanted for own, wanted in list(zip(tee_svn, level.tdx_components, strict=True))[first:])
    ]  # fmt: skip
    assert tdx_matched(platform, levels) == max(reached, key=lambda level: level.rank, default=None)


@given(tdx_infos(), PLATFORMS, st.integers(0, 18), st.integers(1, 2))
def test_tcb_01_raising_any_svn_never_selects_a_lower_tdx_level(info, platform, index, more):
    levels = tdx_info(info).levels
    sgx, pce_svn, tee_svn = (list(platform[0]), platform[1], list(platform[2]))
    before = tdx_matched(platform, levels)
    if index < 2:
        sgx[index] += more
    elif index == 2:
        pce_svn += more
    elif index != 4:  # tee_tcb_svn[1] is not monotonic: it selects the module and the first component that counts
        tee_svn[index - 3] += more
    after = tdx_matched((sgx, pce_svn, tee_svn), levels)
    if before is not None:
        assert after is not None
        assert after.rank >= before.rank


def evaluated(info, platform, qe, svn2):
    """Return what `evaluate` says of a TDX platform, or the code of its refusal."""
    sgx, pce_svn, tee_svn = platform
    pck = replace(PLATFORM, components=(*sgx, *[0] * 14), pce_svn=pce_svn)
    report = replace(TD, tee_tcb_svn=bytes(tee_svn), tee_tcb_svn2=bytes(svn2), mr_service_td=bytes(48))
    try:
        return evaluate(pck, tdx_info(info), IsvLevel(isv_svn=1, date=NOW, status=qe, advisories=()), report)
    except EvidenceRefused as refused:
        return refused.reason


@given(info=tdx_infos(), platform=PLATFORMS, qe=PART_STATUS, svn2=TEE_SVN, random=st.randoms(use_true_random=False))
def test_tcb_01_the_order_in_the_file_never_matters(*, info, platform, qe, svn2, random):
    shuffled = json.loads(json.dumps(info))
    identities = shuffled["tdxModuleIdentities"]
    for levels in (shuffled["tcbLevels"], identities, identities[0]["tcbLevels"]):
        random.shuffle(levels)
    assert evaluated(shuffled, platform, qe, svn2) == evaluated(info, platform, qe, svn2)


@given(tdx_infos(), PLATFORMS, PART_STATUS, TEE_SVN)
def test_tcb_04_a_relaunch_is_advised_only_where_the_module_alone_is_old(info, platform, qe, svn2):
    result = evaluated(info, platform, qe, svn2)
    if isinstance(result, str) or result.status not in RELAUNCH:
        return
    assert result.module_status is TcbStatus.OUT_OF_DATE
    assert qe not in {TcbStatus.OUT_OF_DATE, TcbStatus.REVOKED}
    assert TcbStatus.REVOKED not in {result.platform_status, result.level.status}


@given(tdx_infos(), PLATFORMS, PART_STATUS, TEE_SVN)
def test_tcb_02_what_is_revoked_stays_revoked(info, platform, qe, svn2):
    result = evaluated(info, platform, qe, svn2)
    if not isinstance(result, str):
        parts = {result.level.status, result.module_status, qe}
        assert (result.status is TcbStatus.REVOKED) == (TcbStatus.REVOKED in parts)


@given(STATUS, STATUS)
def test_tcb_02_a_quoting_enclave_never_makes_a_platform_better(own, other):
    together = converge(own, other)
    assert together is own or together in {
        TcbStatus.OUT_OF_DATE,
        TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
        TcbStatus.REVOKED,
    }
    assert converge(together, other) is together


SOUND = SgxReport(cpu_svn=bytes(16), misc_select=0, attributes=b"\x05" + bytes(15), mr_enclave=b"\xe1" * 32,
                  mr_signer=b"\x51" * 32, isv_prod_id=1, isv_svn=5, report_data=bytes(64))  # fmt: skip
PLATFORM = PckClaims(ppid=bytes(16), components=(1,) * 16, pce_svn=1, cpu_svn=bytes(16), pce_id=bytes(2),
                     fmspc=bytes(6), sgx_type=1, platform_instance_id=None, dynamic_platform=None, cached_keys=None,
                     smt_enabled=None)  # fmt: skip
TD = TdReport.parse(bytes(584))
VERDICT = Verdict(
    trust_domain=TrustDomain.INTEL,
    root_key_id=Anchor(domain=TrustDomain.INTEL, public_key=INTEL_ROOT_KEY, cn_prefix="Intel SGX").root_key_id,
    tee=Tee.SGX, quote_version=3, body_type=BodyType.SGX, status=TcbStatus.UP_TO_DATE,
    platform_status=TcbStatus.UP_TO_DATE,
    qe_status=TcbStatus.UP_TO_DATE, module_status=None, advisories=(), fmspc="000000000000", ca_type="platform",
    tcb_date=NOW, tcb_eval=1, qe_eval=1, body=SOUND, pck=PLATFORM, pck_serial=7,
    attestation_key=bytes(64), earliest_issue=NOW - timedelta(days=9),
    latest_issue=NOW, earliest_expiration=NOW + timedelta(days=30), collateral_issued=NOW, root_crl_number=1,
    pck_crl_number=1, collateral_ids=(), verified_at=NOW, trailing_len=0,
)  # fmt: skip
POLICY = Policy(
    name="strict", mrenclave=b"\xe1" * 32, mrsigner=None, isvprodid=None, min_isvsvn=None,
    accepted_tcb_status=frozenset({TcbStatus.UP_TO_DATE}), accepted_advisory_ids=frozenset(),
    rejected_advisory_ids=frozenset(), allow_debug=False, trust_domains=frozenset({TrustDomain.INTEL}),
    max_collateral_age=timedelta(days=7),
)  # fmt: skip


@given(
    status=STATUS,
    domain=st.sampled_from(list(TrustDomain)),
    flags=st.integers(0, 255),
    measurement=st.sampled_from([b"\xe1" * 32, b"\xe2" * 32, bytes(32)]),
    advisories=st.lists(st.sampled_from(["INTEL-SA-00615", "INTEL-DOC-10000"]), unique=True).map(tuple),
    age=st.integers(-2, 40),
)
def test_only_the_one_sound_combination_is_accepted(*, status, domain, flags, measurement, advisories, age):
    body = replace(SOUND, attributes=bytes([flags]) + bytes(15), mr_enclave=measurement)
    verdict = replace(VERDICT, status=status, trust_domain=domain, body=body, advisories=advisories)
    decision = appraise(verdict, POLICY, at=NOW + timedelta(days=age))
    wanted = (
        status is TcbStatus.UP_TO_DATE
        and domain is TrustDomain.INTEL
        and flags & 0b0011_0111 == 0b0000_0101
        and measurement == POLICY.mrenclave
        and not advisories
        and 0 <= age <= 7
    )
    assert decision.accepted == wanted
    assert bool(decision.reasons) != wanted
    if domain is TrustDomain.SIMULATED:
        assert decision.reasons[0].code == "SIMULATED_EVIDENCE"


NONCE = st.binary(min_size=32, max_size=40)
INPUTS = st.tuples(st.text(max_size=4), st.binary(max_size=4), NONCE, st.text(max_size=4))


@given(INPUTS, INPUTS)
def test_fb_02_different_inputs_bind_different_report_data(one, other):
    assert (report_data_for(*one) == report_data_for(*other)) == (one == other)
    assert len(report_data_for(*one)) == 64
