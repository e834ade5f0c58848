"""The simulated platform keeps away from machines that could attest for real."""

import pytest

from strongroom.platforms.simulated import BANNER, REAL_TEE_DEVICES, RealTeePresent, refuse_beside_real_tee


def test_id_13_every_known_device_is_looked_for():
    assert {str(path) for path in REAL_TEE_DEVICES} == {
        "/dev/sgx_enclave", "/dev/sgx/enclave", "/dev/tdx_guest", "/dev/sev-guest",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["sgx_enclave", "sgx/enclave", "tdx_guest", "sev-guest"])
def test_id_13_beside_a_real_tee_it_does_not_start_unless_told(tmp_path, name):
    devices = [tmp_path / each.relative_to("/dev") for each in REAL_TEE_DEVICES]
    refuse_beside_real_tee(devices)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(RealTeePresent, match=name) as refusal:
        refuse_beside_real_tee(devices)
    assert refusal.value.code == "SR-REAL-TEE"
    assert "--beside-real-tee" in refusal.value.fix
    refuse_beside_real_tee(devices, allowed=True)


def test_id_13_the_banner_says_what_it_is():
    assert "SIMULATED" in BANNER
    assert "NOT A TEE" in BANNER
