"""Finding the platform: the real device first, then the inherited socket, else a sentence that says what to do."""

import os
import socket

import pytest

from strongroom.platforms import GramineDevice, PlatformAbsent, SimulatedPlatform
from strongroom.platforms import detect as detect_anywhere


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def nowhere(tmp_path):
    return tmp_path / "attestation"


@pytest.fixture
def detect(tmp_path):
    """Detect below `tmp_path`: the machine that runs the tests may be a TDX guest."""
    places = {"tsm": tmp_path / "tsm", "tdx_device": tmp_path / "tdx_guest"}
    return lambda environ, *, device: detect_anywhere(environ, device=device, **places)


def test_the_inherited_socket_is_the_simulated_platform(pair, nowhere, detect):
    ours, _ = pair
    os.set_inheritable(ours.fileno(), True)
    found = detect({"STRONGROOM_QUOTE_FD": str(ours.fileno())}, device=nowhere)
    assert isinstance(found, SimulatedPlatform)
    assert found.name == "simulated"
    assert not os.get_inheritable(ours.fileno()), "programs started from here would inherit the right to quotes"


def test_id_13_a_host_that_sets_the_variable_does_not_hide_the_real_device(pair, nowhere, detect):
    nowhere.mkdir()
    (nowhere / "attestation_type").write_text("dcap")
    found = detect({"STRONGROOM_QUOTE_FD": str(pair[0].fileno())}, device=nowhere)
    assert isinstance(found, GramineDevice)
    assert found.name == "gramine"


def test_without_either_the_next_step_is_named(nowhere, detect):
    with pytest.raises(PlatformAbsent) as refusal:
        detect({}, device=nowhere)
    assert refusal.value.code == "SR-PLATFORM-ABSENT"
    assert "strongroom sim run" in refusal.value.fix


@pytest.mark.parametrize("number", ["", "x", "-1", "1.5", "٣", "9" * 40, "999999"])
def test_a_number_that_is_no_open_descriptor_is_refused(nowhere, number, detect):
    with pytest.raises(PlatformAbsent, match="STRONGROOM_QUOTE_FD"):
        detect({"STRONGROOM_QUOTE_FD": number}, device=nowhere)


def test_a_descriptor_that_is_no_socket_is_refused(nowhere, tmp_path, detect):
    with (tmp_path / "file").open("wb") as file, pytest.raises(PlatformAbsent, match="no socket"):
        detect({"STRONGROOM_QUOTE_FD": str(file.fileno())}, device=nowhere)


@pytest.mark.parametrize("kind", [b"none", b"epid", b"", b"\xff"])
def test_a_device_without_dcap_says_which_manifest_line_is_missing(nowhere, kind, detect):
    nowhere.mkdir()
    (nowhere / "attestation_type").write_bytes(kind)
    with pytest.raises(PlatformAbsent) as refusal:
        detect({}, device=nowhere)
    assert 'remote_attestation = "dcap"' in refusal.value.fix


def test_id_13_a_host_that_sets_the_variable_does_not_hide_a_tdx_guest(pair, nowhere, tmp_path, detect):
    (tmp_path / "tdx_guest").touch()
    with pytest.raises(PlatformAbsent, match="before Linux"):
        detect({"STRONGROOM_QUOTE_FD": str(pair[0].fileno())}, device=nowhere)


def test_a_machine_whose_reports_are_of_another_kind_may_simulate(pair, nowhere, tmp_path, detect):
    (tmp_path / "tsm").mkdir()
    assert detect({"STRONGROOM_QUOTE_FD": str(pair[0].fileno())}, device=nowhere).name == "simulated"
