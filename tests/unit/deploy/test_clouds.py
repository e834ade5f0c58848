"""Cloud profiles: data that comes along, data of one's own, and what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.collateral import profiles as sources
from strongroom.deploy import clouds

GOOD = b'name = "mine"\ntitle = "my own"\n'
SEEDS = ("azure", "alibaba", "tencent", "bytedance")


def test_the_four_clouds_of_the_guide_and_two_more_come_along():
    assert set(clouds.names()) == {*SEEDS, "aks", "generic"}
    for name in SEEDS:
        found = clouds.profile(name)
        assert found.instance_types
        assert found.ports == (4433, 8500, 8501)
        assert found.facts["instance type"]
        assert found.pccs_url or found.attestation_provider


@pytest.mark.parametrize("name", clouds.names())
def test_dp_11_every_source_of_collateral_is_one_that_is_asked_with_tls_verified(name):
    found = clouds.profile(name)
    for source in (found.collateral, found.pccs_url, *found.regions.values()):
        if source is not None:
            assert sources.find(source).verify_tls
    if found.collateral is not None and found.pccs_url is not None:
        assert found.pccs_url.startswith(sources.find(found.collateral).base)


def test_gramine_gets_its_quotes_from_the_nodes_aesmd_everywhere():
    assert {clouds.profile(name).aesmd_socket for name in clouds.names()} == {"/var/run/aesmd"}


def test_a_workspace_brings_its_own_cloud_and_may_overrule_one(tmp_path):
    (tmp_path / "mine.toml").write_bytes(GOOD)
    (tmp_path / "azure.toml").write_bytes(b'name = "azure"\ntitle = "our tenant"\nports = [4433]\n')
    assert clouds.profile("mine", tmp_path).title == "my own"
    assert clouds.profile("azure", tmp_path).ports == (4433,)
    assert "mine" in clouds.names(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "../generic", "", "A"])
def test_an_unknown_cloud_is_refused_with_sr_cloud_unknown(name, tmp_path):
    with pytest.raises(clouds.UnknownCloud, match="generic") as caught:
        clouds.profile(name, tmp_path)
    assert caught.value.code == "SR-CLOUD-UNKNOWN"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff", b"name = 1", GOOD + b"more = 1", GOOD + b"ports = [0]", GOOD + b'ports = ["80"]',
        GOOD + b'pccs_url = "http://pccs.service.com:8081"', GOOD + b'attestation_provider = "sharedcus"',
        GOOD + b'aesmd_socket = "/"', GOOD + b'aesmd_socket = "/var/run/aesmd/../../etc"',
        GOOD + b'device_paths = ["/etc/passwd"]',
        GOOD + b'device_paths = ["/dev/../etc"]',
        GOOD + b'steps = ["two\\nlines"]', GOOD + b"facts = []", GOOD + b"tolerations = [1]",
        GOOD + b'sgx_resources = { cpu = "4" }', GOOD + b'epc_resource = "memory"',
        b'name = "-"\ntitle = "t"',
        b"#" * (clouds.MAX_PROFILE_BYTES + 1),
    ],
)  # fmt: skip
def test_what_is_no_profile_is_refused_with_sr_cloud_profile(data):
    with pytest.raises(clouds.CloudMalformed) as caught:
        clouds.Profile.parse(data, "mine.toml")
    assert caught.value.code == "SR-CLOUD-PROFILE"


def test_a_profile_has_to_carry_its_own_name(tmp_path):
    (tmp_path / "other.toml").write_bytes(GOOD)
    with pytest.raises(clouds.CloudMalformed, match="calls itself"):
        clouds.profile("other", tmp_path)
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(clouds.CloudMalformed, match="cannot read"):
        clouds.profile("folder", tmp_path)


def test_the_pages_of_the_clouds_are_current():
    tool = Path(__file__).resolve().parents[3] / "tools" / "write_cloud_docs.py"
    subprocess.run([sys.executable, str(tool), "--check"], check=True)
