"""`strongroom quote show`: fields of a quote, marked as unverified."""

import importlib.util
import json
import struct
import sys
from pathlib import Path

import pytest

from strongroom.cli.frame import main

LITTLE_WORLD = Path(__file__).resolve().parents[1] / "attestation" / "little_world.py"


@pytest.fixture
def world():
    name = "strongroom_tests_little_world"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, LITTLE_WORLD)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name].LittleWorld()


@pytest.fixture
def show(world, tmp_path, capsys):
    """Return a function that shows the world's quote and returns status and output."""

    def shown(*more):
        path = tmp_path / "quote.bin"
        path.write_bytes(world.quote())
        status = main(["quote", "show", str(path), *more])
        return status, capsys.readouterr()

    return shown


def test_fields_are_shown_as_unverified(show):
    status, printed = show()
    assert status == 0
    for part in ("unverified", "mr_enclave: " + "e1" * 32, "fmspc: F0A1B2C3D4E5", "'Intel SGX PCK Certificate'"):
        assert part in printed.out


def test_a_machine_reads_json(show):
    status, printed = show("--json")
    fields = json.loads(printed.out)
    assert status == 0
    assert fields["verified"] is False
    assert fields["body"]["isv_svn"] == 7
    assert fields["platform"]["fmspc"] == "F0A1B2C3D4E5"
    assert len(fields["platform"]["certificates"]) == 3


def test_platform_ids_are_shown_where_there_is_no_chain(world, show):
    world.cert_type = 3
    world.cert_data = bytes(384) + bytes(range(16)) + struct.pack("<H", 13) + b"\0\0"
    platform = json.loads(show("--json")[1].out)["platform"]
    assert (platform["ppid_encrypted"], platform["pce_svn"]) == (True, 13)


def test_a_chain_that_cannot_be_read_is_said_to_be(world, show):
    world.cert_data = b"\x1b[31mnothing"
    status, printed = show()
    assert status == 0
    assert "unreadable" in printed.out
    assert "\x1b" not in printed.out


def test_control_characters_in_a_name_do_not_reach_the_terminal(world, show):
    world.recipes["leaf"].name = "=\x1b[2Jowned"
    status, printed = show()
    assert status == 0
    assert "\x1b" not in printed.out
    assert "owned" in printed.out


def test_what_is_no_quote_is_refused(tmp_path, capsys):
    path = tmp_path / "quote.bin"
    path.write_bytes(b"\x04\x00\x02\x00\x81\x00\x00\x00")
    assert main(["quote", "show", str(path)]) == 3
    assert "[SR-UNSUPPORTED-TEE]" in capsys.readouterr().err
