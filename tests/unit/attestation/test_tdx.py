"""Trust domains: the module they were launched under, the levels they reach, and when to launch them anew."""

import itertools
import json

import pytest

from strongroom.attestation import EvidenceCode, EvidenceRefused, TcbStatus

UP, SW, CONF, CONF_SW, OLD, OLD_CONF, RELAUNCH, RELAUNCH_CONF, REVOKED = TcbStatus
WORDS = (UP, SW, CONF, CONF_SW, OLD, OLD_CONF, REVOKED)


def svn(*first):
    return bytes(first) + bytes(16 - len(first))


def level(sgx, pce_svn, tdx, status, *advisories):
    tcb = {"sgxtcbcomponents": [{"svn": sgx}] * 16, "pcesvn": pce_svn}
    tcb["tdxtcbcomponents"] = [{"svn": number} for number in svn(*tdx)]
    entry = {"tcb": tcb, "tcbDate": f"20{20 + sgx:02}-01-01T00:00:00Z", "tcbStatus": status}
    return entry | ({"advisoryIDs": list(advisories)} if advisories else {})


def refused(judge, world, code, step=None):
    with pytest.raises(EvidenceRefused) as caught:
        judge(world)
    assert caught.value.reason == EvidenceCode[code], caught.value.sentence
    if step:
        assert caught.value.step == step
    return caught.value


@pytest.fixture
def tdx(world):
    return world.become(4, 2)


def launched(world, tee_tcb_svn, **more):
    """Make a TD 1.5 that was launched under these SVNs."""
    return world.become(5, 3, tee_tcb_svn=tee_tcb_svn, **more)


def test_tcb_03_the_module_of_version_0_is_the_one_of_the_tcb_info(judge, tdx):
    tdx.become(4, 2, tee_tcb_svn=svn(0, 0, 3))
    tdx.tcb_info["tdxModuleIdentities"] = []
    assert judge(tdx).module_status is None
    del tdx.tcb_info["tdxModuleIdentities"]
    assert judge(tdx).status is UP
    tdx.tcb_info["tdxModule"]["mrsigner"] = "11" * 48
    refused(judge, tdx, "TDX_MODULE_MISMATCH", 15)


@pytest.mark.parametrize("name", ["TDX_01", "tdx_01", "Tdx_01"])
def test_tcb_03_later_modules_are_found_by_their_version(judge, tdx, name):
    tdx.tcb_info["tdxModuleIdentities"][0]["id"] = name
    assert judge(tdx).module_status is UP


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("TDX_MODULE_MISMATCH", lambda info: info.update(tdxModuleIdentities=[])),
        ("TDX_MODULE_MISMATCH", lambda info: info["tdxModuleIdentities"][0].update(id="TDX_03")),
        ("TDX_MODULE_MISMATCH", lambda info: info["tdxModuleIdentities"][0].update(mrsigner="22" * 48)),
        ("TDX_MODULE_MISMATCH", lambda info: info["tdxModuleIdentities"][0].update(attributes="01" + "00" * 7)),
        ("TCB_INFO_MISMATCH", lambda info: info.pop("tdxModuleIdentities")),
    ],
)
def test_tcb_03_a_module_that_is_not_described_is_refused(judge, tdx, code, change):
    change(tdx.tcb_info)
    refused(judge, tdx, code, 15)


@pytest.mark.parametrize(
    "fields", [{"mr_signer_seam": b"\x33" * 48}, {"seam_attributes": b"\x01" + bytes(7)}], ids=["signer", "attributes"]
)
def test_tcb_03_a_report_of_another_module_is_refused(judge, world, fields):
    refused(judge, world.become(4, 2, **fields), "TDX_MODULE_MISMATCH", 15)


def test_tcb_03_attributes_that_the_tcb_info_would_allow_are_refused_all_the_same(judge, world):
    world.become(4, 2, seam_attributes=b"\x01" + bytes(7))
    world.tcb_info["tdxModuleIdentities"][0]["attributes"] = "01" + "00" * 7
    refused(judge, world, "TDX_MODULE_MISMATCH", 15)


def test_sc_09_sgx_info_does_not_judge_a_trust_domain(judge, world):
    sgx = json.loads(json.dumps(world.tcb_info))
    world.become(4, 2)
    world.tcb_info = sgx
    refused(judge, world, "TCB_INFO_MISMATCH", 14)


def test_sc_10_a_trust_domain_needs_the_quoting_enclave_of_tdx(judge, tdx):
    tdx.qe_identity["id"] = "QE"
    refused(judge, tdx, "QE_IDENTITY_MISMATCH", 18)


@pytest.mark.parametrize(
    ("sentence", "change"),
    [
        ("lacks tdxModule", lambda info: info.pop("tdxModule")),
        ("mrsigner", lambda info: info["tdxModule"].update(mrsigner="00" * 32)),
        ("attributesMask", lambda info: info["tdxModule"].pop("attributesMask")),
        ("twice", lambda info: info["tdxModuleIdentities"].append({**info["tdxModuleIdentities"][0], "id": "tdx_01"})),
        ("no levels", lambda info: info["tdxModuleIdentities"][0].update(tcbLevels=[])),
        ("two levels", lambda info: info["tdxModuleIdentities"][0]["tcbLevels"].append(
            info["tdxModuleIdentities"][0]["tcbLevels"][0])),
        ("not a list", lambda info: info.update(tdxModuleIdentities={})),
        ("tdxtcbcomponents", lambda info: info["tcbLevels"][0]["tcb"].pop("tdxtcbcomponents")),
        ("15 entries", lambda info: info["tcbLevels"][0]["tcb"]["tdxtcbcomponents"].pop()),
        ("version 2", lambda info: info.update(version=2)),
        ("two equal", lambda info: info["tcbLevels"].append(info["tcbLevels"][0])),
    ],
)  # fmt: skip
def test_ev_08_tdx_info_is_read_strictly(judge, tdx, sentence, change):
    change(tdx.tcb_info)
    assert sentence in refused(judge, tdx, "TCB_INFO_FORMAT", 6).sentence


def test_ev_08_a_status_word_of_a_module_must_be_known(judge, tdx):
    tdx.tcb_info["tdxModuleIdentities"][0]["tcbLevels"][0]["tcbStatus"] = "TDRelaunchAdvised"
    refused(judge, tdx, "TCB_UNRECOGNIZED_STATUS", 6)


def test_ev_08_sgx_info_describes_no_module(judge, world, lw):
    world.tcb_info["tdxModule"] = lw.module()
    refused(judge, world, "TCB_INFO_FORMAT", 6)


@pytest.mark.parametrize("status", WORDS)
@pytest.mark.parametrize("module", [UP, OLD, REVOKED])
def test_tcb_03_platform_and_module_converge(judge, world, status, module):
    world.become(4, 2, tee_tcb_svn=svn(5, 1, 3))
    world.tcb_info["tcbLevels"] = [level(10, 13, (0, 0, 3), status, "INTEL-SA-1", "INTEL-SA-2")]
    world.tcb_info["tdxModuleIdentities"][0]["tcbLevels"][0].update(tcbStatus=module, advisoryIDs=["INTEL-SA-3"])
    world.qe_identity["tcbLevels"][0]["advisoryIDs"] = ["INTEL-SA-2", "INTEL-SA-4"]
    verdict = judge(world)
    worse = {OLD: OLD_CONF if status in {CONF, CONF_SW, OLD_CONF} else OLD, REVOKED: REVOKED}
    assert verdict.module_status is module
    assert verdict.status is (REVOKED if status is REVOKED else worse.get(module, status))
    assert verdict.advisories == ("INTEL-SA-1", "INTEL-SA-2", "INTEL-SA-3", "INTEL-SA-4")


def test_tcb_01_the_tdx_level_may_lie_below_the_sgx_level_whatever_the_order(judge, world):
    world.become(4, 2, tee_tcb_svn=svn(5, 1, 3))
    levels = [
        level(10, 13, (0, 0, 9), "UpToDate"),
        level(9, 13, (0, 0, 4), "SWHardeningNeeded"),
        level(8, 13, (0, 0, 3), "ConfigurationNeeded"),
        level(7, 13, (0, 0, 1), "OutOfDate"),
    ]
    for shuffled in itertools.permutations(levels):
        world.tcb_info["tcbLevels"] = list(shuffled)
        verdict = judge(world)
        assert (verdict.platform_status, f"{verdict.tcb_date:%Y}") == (CONF, "2028")


@pytest.mark.parametrize("index", range(16))
def test_tcb_01_every_tdx_component_counts_but_the_modules_own(judge, world, index):
    wanted = [svn + (at == index) for at, svn in enumerate([5, 1, 3, *[0] * 13])]
    world.become(4, 2, tee_tcb_svn=svn(5, 1, 3))
    world.tcb_info["tcbLevels"] = [level(10, 13, wanted, "UpToDate"), level(5, 5, (), "OutOfDate")]
    assert judge(world).platform_status is (UP if index < 2 else OLD)
    world.become(4, 2, tee_tcb_svn=svn(5, 0, 3))  # before version 1 the first two count as well
    wanted[1] -= 1
    world.tcb_info["tcbLevels"] = [level(10, 13, wanted, "UpToDate"), level(5, 5, (), "OutOfDate")]
    assert judge(world).platform_status is OLD


def test_tcb_01_below_every_level_there_is_no_verdict(judge, tdx):
    tdx.tcb_info["tcbLevels"] = [level(10, 13, (0, 0, 4), "UpToDate")]
    refused(judge, tdx, "TCB_NOT_SUPPORTED", 21)
    tdx.tcb_info["tcbLevels"] = [level(11, 13, (0, 0, 3), "UpToDate")]
    refused(judge, tdx, "TCB_NOT_SUPPORTED", 21)


def test_tcb_03_a_module_below_every_level_is_refused(judge, world):
    refused(judge, world.become(4, 2, tee_tcb_svn=svn(1, 1, 3)), "TCB_NOT_SUPPORTED", 21)


# What is launched under module SVN 2 of version 1 (out of date); tee_tcb_svn2 says what is loaded now.
RELAUNCHED = [
    ("the module is current", svn(5, 1, 3), RELAUNCH),
    ("the module is newer than known", svn(9, 1, 9), RELAUNCH),
    ("the module is old", svn(4, 1, 3), OLD),
    ("the microcode is old", svn(5, 1, 2), OLD),
    ("version 0, current", svn(7, 0, 3), RELAUNCH),
    ("version 0, old", svn(6, 0, 3), OLD),
    ("version 0, old microcode", svn(7, 0, 2), OLD),
]


@pytest.mark.parametrize(("loaded", "status"), [row[1:] for row in RELAUNCHED], ids=[row[0] for row in RELAUNCHED])
def test_tcb_04_a_trust_domain_under_an_old_module_is_to_be_launched_anew(judge, world, loaded, status):
    launched(world, svn(2, 1, 3), tee_tcb_svn2=loaded)
    world.tcb_info["tcbLevels"] = [level(10, 13, (7, 0, 3), "UpToDate"), level(5, 5, (), "OutOfDate")]
    verdict = judge(world)
    assert (verdict.status, verdict.module_status, verdict.platform_status) == (status, OLD, OLD)


@pytest.mark.parametrize(
    ("sgx", "status"), [("UpToDate", RELAUNCH), ("SWHardeningNeeded", RELAUNCH), ("ConfigurationNeeded", RELAUNCH_CONF),
                        ("ConfigurationAndSWHardeningNeeded", RELAUNCH_CONF), ("OutOfDate", OLD),
                        ("OutOfDateConfigurationNeeded", OLD_CONF), ("Revoked", REVOKED)]
)  # fmt: skip
def test_tcb_04_only_where_nothing_but_the_module_is_old(judge, world, sgx, status):
    launched(world, svn(2, 1, 3))
    world.tcb_info["tcbLevels"] = [level(10, 13, (0, 0, 3), sgx)]
    assert judge(world).status is status


def test_tcb_04_the_configuration_of_the_sgx_level_counts_too(judge, world):
    launched(world, svn(2, 1, 3))
    top, lower = level(10, 13, (0, 0, 3, 1), "ConfigurationNeeded"), level(9, 13, (0, 0, 3), "UpToDate")
    world.tcb_info["tcbLevels"] = [top, lower]
    assert judge(world).status is RELAUNCH_CONF


@pytest.mark.parametrize(("qe", "status"), [("OutOfDate", OLD), ("Revoked", REVOKED)])
def test_tcb_04_not_under_an_old_quoting_enclave(judge, world, qe, status):
    launched(world, svn(2, 1, 3))
    world.qe_identity["tcbLevels"][0]["tcbStatus"] = qe
    assert judge(world).status is status


@pytest.mark.parametrize("word", ["SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded"])
@pytest.mark.parametrize("whose", ["qe", "module"])
def test_tcb_04_an_enclave_and_a_module_have_no_status_of_a_platform(judge, world, word, whose):
    world.become(5, 3)
    levels = world.qe_identity["tcbLevels"] if whose == "qe" else world.tcb_info["tdxModuleIdentities"][0]["tcbLevels"]
    levels[0]["tcbStatus"] = word
    refused(judge, world, "TCB_UNRECOGNIZED_STATUS", 7 if whose == "qe" else 6)


def test_tcb_04_a_revoked_module_is_no_reason_to_relaunch(judge, world):
    launched(world, svn(2, 1, 3))
    world.tcb_info["tdxModuleIdentities"][0]["tcbLevels"][1]["tcbStatus"] = "Revoked"
    assert judge(world).status is REVOKED


def test_tcb_04_a_loaded_module_that_nobody_describes_is_refused(judge, world):
    refused(judge, launched(world, svn(2, 1, 3), tee_tcb_svn2=svn(9, 7, 9)), "TDX_MODULE_MISMATCH", 21)


def test_tcb_04_td_reports_1_0_do_not_say_what_is_loaded(judge, world):
    assert judge(world.become(5, 2, tee_tcb_svn=svn(2, 1, 3))).status is OLD


def test_tcb_06_a_debug_trust_domain_gets_a_verdict_that_says_so(judge, world):
    verdict = judge(world.become(4, 2, td_attributes=b"\x01" + bytes(7)))
    assert verdict.debug is True
    assert verdict.to_json_object()["body"]["debug"] is True
