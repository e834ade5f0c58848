"""Levels and statuses: which row of Intel's table a platform reaches, and what two statuses make together."""

import itertools
from datetime import timedelta

import pytest

from strongroom.attestation import EvidenceRefused, TcbStatus
from strongroom.attestation.status import ADVICE, MEANINGS, converge

UP, SW, CONF, CONF_SW, OLD, OLD_CONF, RELAUNCH, RELAUNCH_CONF, REVOKED = TcbStatus
WORDS = (UP, SW, CONF, CONF_SW, OLD, OLD_CONF, REVOKED)  # the words of reference data
OTHERS = (UP, SW, CONF, CONF_SW, OLD_CONF)


def level(svns, pce_svn, status, **more):
    components = [{"svn": svn} for svn in svns]
    return {"tcb": {"sgxtcbcomponents": components, "pcesvn": pce_svn}, "tcbDate": "2025-01-01T00:00:00Z",
            "tcbStatus": status, **more}  # fmt: skip


FLAT = [10] * 16


def table(world, *levels):
    world.tcb_info["tcbLevels"] = list(levels)


def test_tcb_01_the_order_in_the_file_does_not_matter(judge, world):
    levels = [
        level([svn] * 16, svn, status) for svn, status in ((10, "UpToDate"), (7, "SWHardeningNeeded"), (1, "OutOfDate"))
    ]
    for shuffled in itertools.permutations(levels):
        table(world, *shuffled)
        assert judge(world).status is UP


@pytest.mark.parametrize("index", range(16))
def test_tcb_01_one_component_too_low_falls_to_the_next_level(judge, world, index):
    raised = [svn + (at == index) for at, svn in enumerate(FLAT)]
    table(world, level(raised, 13, "UpToDate"), level(FLAT, 13, "OutOfDate"))
    assert judge(world).status is OLD


def test_tcb_01_pcesvn_counts_after_the_components(judge, world):
    table(world, level(FLAT, 14, "UpToDate"), level(FLAT, 13, "ConfigurationNeeded"), level(FLAT, 5, "OutOfDate"))
    assert judge(world).status is CONF


def test_tcb_01_the_components_decide_and_not_the_cpusvn_bytes(judge, world, lw):
    world.tcb["2.18"] = lw.tlv(0x04, bytes(16))
    assert judge(world).status is UP
    world.tcb["2.1"] = lw.integer(0)
    with pytest.raises(EvidenceRefused) as caught:
        judge(world)
    assert caught.value.reason == "TCB_NOT_SUPPORTED"


def test_tcb_01_below_every_level_there_is_no_verdict(judge, world):
    table(world, level([11] * 16, 13, "UpToDate"))
    with pytest.raises(EvidenceRefused) as caught:
        judge(world)
    assert caught.value.reason == "TCB_NOT_SUPPORTED"
    assert caught.value.code == "SR-TCB-NOT-SUPPORTED"


def test_tcb_info_of_version_2_is_read(judge, world):
    tcb = {f"sgxtcbcomp{index:02}svn": 10 for index in range(1, 17)} | {"pcesvn": 13}
    world.tcb_info.update(version=2, tcbLevels=[{**level(FLAT, 13, "SWHardeningNeeded"), "tcb": tcb}])
    del world.tcb_info["id"]
    assert judge(world).status is SW


def test_a_quoting_enclave_below_every_level_is_refused(judge, world):
    world.qe_fields["isv_svn"] = 5
    with pytest.raises(EvidenceRefused, match="SVN 5") as caught:
        judge(world)
    assert caught.value.reason == "TCB_NOT_SUPPORTED"


@pytest.mark.parametrize("reverse", [False, True])
def test_the_quoting_enclaves_level_is_the_highest_it_reaches(judge, world, reverse):
    world.qe_fields["isv_svn"] = 7
    if reverse:
        world.qe_identity["tcbLevels"].reverse()
    verdict = judge(world)
    assert (verdict.qe_status, verdict.platform_status, verdict.status) == (OLD, UP, OLD)
    assert verdict.advisories == ("INTEL-SA-00477",)


@pytest.mark.parametrize(
    ("own", "other", "together"),
    [
        *((own, other, own) for own in TcbStatus if own is not REVOKED for other in OTHERS),
        (RELAUNCH, OLD, OLD), (RELAUNCH_CONF, OLD, OLD_CONF),
        (UP, OLD, OLD), (SW, OLD, OLD), (OLD, OLD, OLD),
        (CONF, OLD, OLD_CONF), (CONF_SW, OLD, OLD_CONF), (OLD_CONF, OLD, OLD_CONF),
        *((own, REVOKED, REVOKED) for own in TcbStatus),
        *((REVOKED, other, REVOKED) for other in TcbStatus),
    ],
)  # fmt: skip
def test_tcb_02_convergence_is_intels_table(own, other, together):
    assert converge(own, other) is together


def test_tcb_02_platform_and_quoting_enclave_converge_in_a_verdict(judge, world):
    table(world, level(FLAT, 13, "ConfigurationNeeded", advisoryIDs=["INTEL-SA-1", "INTEL-SA-2"]))
    world.qe_identity["tcbLevels"][0].update(tcbStatus="OutOfDate", advisoryIDs=["INTEL-SA-2", "INTEL-SA-3"])
    verdict = judge(world)
    assert (verdict.platform_status, verdict.qe_status, verdict.status) == (CONF, OLD, OLD_CONF)
    assert verdict.advisories == ("INTEL-SA-1", "INTEL-SA-2", "INTEL-SA-3")
    assert verdict.module_status is None


@pytest.mark.parametrize("status", WORDS)
def test_tcb_06_every_status_gets_a_verdict_and_no_verdict_is_true_or_false(judge, world, status):
    table(world, level(FLAT, 13, status.value))
    verdict = judge(world)
    assert verdict.status is status
    assert MEANINGS[status]
    assert ADVICE[status]
    with pytest.raises(TypeError):
        bool(verdict)


def test_tcb_06_a_debug_enclave_gets_a_verdict_that_says_so(judge, world, lw):
    world.body = lw.report(attributes=b"\x07" + bytes(15), mr_enclave=b"\x01" * 32)
    assert judge(world).debug is True


def test_tcb_08_both_evaluation_numbers_are_told_and_the_lower_one_counts(judge, world):
    verdict = judge(world)
    assert (verdict.tcb_eval, verdict.qe_eval, verdict.tcb_eval_ref_num) == (19, 17, 17)


def test_the_dates_of_a_verdict_span_everything_that_was_checked(judge, world):
    day = world.now - world.crls["pck"]["since"]
    world.recipes["leaf"].since = world.now - 3 * day
    world.crls["root"]["until"] = world.now + 5 * day
    world.crls["pck"]["since"] = world.now - 2 * day
    verdict = judge(world)
    assert verdict.latest_issue == world.now - day
    assert verdict.earliest_issue == world.recipes["root"].since
    assert verdict.earliest_expiration == world.now + 5 * day
    assert verdict.collateral_issued == world.now - 2 * day
    assert verdict.verified_at == world.now


def test_another_issue_of_the_root_counts_with_its_own_dates(judge, world, lw):
    """The PCK chain carries an older issue of the root, with the same key, which ends before everything else."""
    older = lw.LittleWorld()
    older.recipes["root"].until = world.now + timedelta(days=3)
    current = lw.pem(world.certificate("root"))
    chain = "".join(lw.pem(world.certificate(role)) for role in ("leaf", "ca"))
    world.cert_data = (chain + lw.pem(older.certificate("root"))).encode()
    world.collateral_edits["pck_crl_issuer_chain"] = lw.pem(world.certificate("ca")) + current
    assert judge(world).earliest_expiration == world.now + timedelta(days=3)
    with pytest.raises(EvidenceRefused) as caught:
        judge(world, at=world.now + timedelta(days=4))
    assert caught.value.reason == "PCK_CHAIN_EXPIRED"


def test_a_verdict_names_its_parts_for_machines(judge, world):
    seen = judge(world).to_json_object()
    assert (seen["verdict"], seen["tee"], seen["trust_domain"]) == ("ok", "SGX", "simulated")
    assert (seen["root_ca_crl_num"], seen["pck_crl_num"]) == (7, 9)
    platform = seen["platform"]
    assert platform["pck_ppid"].startswith("53494D")
    assert (platform["dynamic_platform"], platform["cached_keys"], platform["smt_enabled"]) == (True, False, None)
    assert len(seen["collateral_ids"]) == 9
