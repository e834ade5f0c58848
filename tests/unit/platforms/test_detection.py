"""Finding the platform: the real device first, then the inherited socket, else a sentence that says what to do."""

import os
import socket

import pytest

from strongroom.platforms import GramineDevice, PlatformAbsent, SimulatedPlatform, detect


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def nowhere(tmp_path):
    return tmp_path / "attestation"


def test_the_inherited_socket_is_the_simulated_platform(pair, nowhere):
    ours, _ = pair
    os.set_inheritable(ours.fileno(), True)
    found = detect({"STRONGROOM_QUOTE_FD": str(ours.fileno())}, device=nowhere)
    assert isinstance(found, SimulatedPlatform)
    assert found.name == "simulated"
    assert not os.get_inheritable(ours.fileno()), "programs started from here would inherit the right to quotes"


def test_id_13_a_host_that_sets_the_variable_does_not_hide_the_real_device(pair, nowhere):
    nowhere.mkdir()
    (nowhere / "attestation_type").write_text("dcap")
    found = detect({"STRONGROOM_QUOTE_FD": str(pair[0].fileno())}, device=nowhere)
    assert isinstance(found, GramineDevice)
    assert found.name == "gramine"


def test_without_either_the_next_step_is_named(nowhere):
    with pytest.raises(PlatformAbsent) as refusal:
        detect({}, device=nowhere)
    assert refusal.value.code == "SR-PLATFORM-ABSENT"
    assert "strongroom sim run" in refusal.value.fix


@pytest.mark.parametrize("number", ["", "x", "-1", "1.5", "٣", "9" * 40, "999999"])
def test_a_number_that_is_no_open_descriptor_is_refused(nowhere, number):
    with pytest.raises(PlatformAbsent, match="STRONGROOM_QUOTE_FD"):
        detect({"STRONGROOM_QUOTE_FD": number}, device=nowhere)


def test_a_descriptor_that_is_no_socket_is_refused(nowhere, tmp_path):
    with (tmp_path / "file").open("wb") as file, pytest.raises(PlatformAbsent, match="no socket"):
        detect({"STRONGROOM_QUOTE_FD": str(file.fileno())}, device=nowhere)


@pytest.mark.parametrize("kind", [b"none", b"epid", b"", b"\xff"])
def test_a_device_without_dcap_says_which_manifest_line_is_missing(nowhere, kind):
    nowhere.mkdir()
    (nowhere / "attestation_type").write_bytes(kind)
    with pytest.raises(PlatformAbsent) as refusal:
        detect({}, device=nowhere)
    assert 'remote_attestation = "dcap"' in refusal.value.fix
