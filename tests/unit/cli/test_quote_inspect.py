"""`strongroom quote inspect`: any quote as a tree with meaning, marked as unverified."""

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
        status = main(["quote", "inspect", str(path), *more])
        return status, capsys.readouterr()

    return shown


def test_fields_are_shown_as_unverified(show):
    status, printed = show()
    assert status == 0
    for part in (
        "unverified",
        "mr_enclave: " + "e1" * 32,
        "FMSPC: F0A1B2C3D4E5",
        "certificate: Intel SGX PCK Certificate",
    ):
        assert part in printed.out


def test_long_values_stand_whole_on_a_line_of_their_own(show, world):
    lines = show()[1].out.splitlines()
    place = next(number for number, line in enumerate(lines) if "attestation key  (x and y on P-256)" in line)
    assert len(lines[place + 1].split()[-1]) == 128
    assert max(len(line) for line in lines) < 150


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
    path.write_bytes(b"\x04\x00\x02\x00\x82\x00\x00\x00" + bytes(100))
    assert main(["quote", "inspect", str(path)]) == 3
    printed = capsys.readouterr()
    assert "[SR-UNSUPPORTED-TEE]" in printed.err
    assert "TEE type: 0x82" in printed.out


def test_flags_are_named(world, show):
    world.body = world.body[:48] + b"\x07" + world.body[49:]
    assert "DEBUG  (the host can read and change this enclave's memory)" in show()[1].out


def real(shared_vectors, wanted):
    index = json.loads((shared_vectors / "dcap" / "index.json").read_text(encoding="utf-8"))
    entry = next(entry for entry in index["vectors"] if entry["id"] == wanted)
    return [str(shared_vectors / "dcap" / entry[name]) for name in ("quote", "collateral") if entry[name]]


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        ("real-tdx-v5-cf77a6e9-2026-02-18", ("TDX quote, version 5", "TD report 1.5", "SEPT_VE_DISABLE", "AMX")),
        ("real-tdx-v4-12b401a8-2023-06-18", ("TDX quote, version 4", "TD report 1.0", "DEBUG  (the host can read")),
        ("real-sgx-v3-0b5bc73c-2025-05-27-2", ("SGX quote, version 3", "https://www.intel.com/", "this platform is")),
    ],
)
def test_real_quotes_are_shown_with_their_reference_data(shared_vectors, capsys, vector, words):
    quote, collateral = real(shared_vectors, vector)
    assert main(["quote", "inspect", quote, "--collateral", collateral]) == 0
    printed = capsys.readouterr().out
    for word in (*words, "ended ", "evaluation number"):
        assert word in printed


def test_a_machine_gets_the_reference_data_too(shared_vectors, capsys):
    quote, collateral = real(shared_vectors, "real-sgx-v3-0b5bc73c-2025-05-27-2")
    assert main(["quote", "inspect", quote, "--collateral", collateral, "--json"]) == 0
    level = json.loads(capsys.readouterr().out)["reference"]["tcb_info"]["level"]
    assert level["tcb_status"] == "OutOfDate"
    assert all(link.startswith("https://www.intel.com/") for link in level["advisories"].values())


def test_encrypted_platform_ids_are_explained(shared_vectors, capsys):
    (quote,) = real(shared_vectors, "parse-72a05bf6")
    assert main(["quote", "inspect", quote]) == 0
    assert "encrypted for Intel" in capsys.readouterr().out
