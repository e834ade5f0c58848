"""Gramine's pseudo-files, played by a folder: what is refused, and that nobody's report data is mixed up."""

import errno
import fcntl
import json
import subprocess
import sys

import pytest

from strongroom.attestation import parse_quote
from strongroom.platforms import (
    GramineDevice,
    GramineKeys,
    GramineKeyUnusable,
    PlatformAbsent,
    QuoteNotOurs,
    QuoteUnavailable,
    ReportDataSize,
)
from strongroom.platforms import gramine_device as module
from strongroom.secret import Secret

ASKED = bytes([7]) * 64
MANY = """
import json, os, sys
from pathlib import Path
from strongroom.attestation import parse_quote
from strongroom.platforms import GramineDevice
device, own = GramineDevice(Path(sys.argv[1])), bytes([int(sys.argv[2])]) * 64
print(json.dumps([parse_quote(device.quote(own)).body.report_data == own for _ in range(20)]))
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "attestation_type").write_bytes(b"dcap\0")
    (tmp_path / "user_report_data").write_bytes(bytes(64))
    (tmp_path / "my_target_info").write_bytes(bytes(512))
    (tmp_path / "keys").mkdir()
    return tmp_path


def test_report_data_is_written_before_the_quote_is_read(root, sign_sgx):
    (root / "quote").write_bytes(sign_sgx(ASKED))
    assert parse_quote(GramineDevice(root).quote(ASKED)).body.report_data == ASKED
    assert (root / "user_report_data").read_bytes() == ASKED


def test_a_quote_over_something_else_is_not_handed_on(root, sign_sgx):
    (root / "quote").write_bytes(sign_sgx(bytes(64)))
    with pytest.raises(QuoteNotOurs) as refusal:
        GramineDevice(root).quote(ASKED)
    assert refusal.value.code == "SR-QUOTE-NOT-OURS"


def test_who_loses_the_files_to_another_writer_asks_again(root, sign_sgx, doubles):
    (root / "attestation_type").unlink()
    overheard = []

    def sign(report_data):
        overheard.append(report_data)
        return sign_sgx(bytes(64) if len(overheard) < module.ATTEMPTS else report_data)

    with doubles.gramine_device(root, sign):
        assert parse_quote(GramineDevice(root).quote(ASKED)).body.report_data == ASKED
    assert overheard == [ASKED] * module.ATTEMPTS


def test_processes_on_the_same_files_never_get_each_others_quotes(root, sign_sgx, doubles):
    with doubles.gramine_device(root, sign_sgx):
        running = [
            subprocess.Popen([sys.executable, "-c", MANY, str(root), str(number)], stdout=subprocess.PIPE)
            for number in (1, 2, 3)
        ]
        for process in running:
            assert json.loads(process.communicate(timeout=120)[0]) == [True] * 20


def test_files_without_locks_are_used_all_the_same(root, sign_sgx, monkeypatch):
    def refuse(_descriptor, _operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (root / "quote").write_bytes(sign_sgx(ASKED))
    assert GramineDevice(root).quote(ASKED)


@pytest.mark.parametrize("cut", [0, 1, 431, 1020, -1], ids=lambda cut: f"cut at {cut}")
def test_a_short_read_is_no_quote(root, sign_sgx, cut):
    (root / "quote").write_bytes(sign_sgx(ASKED)[:cut])
    with pytest.raises(QuoteUnavailable, match="no quote"):
        GramineDevice(root).quote(ASKED)


def test_more_than_the_device_can_hand_out_is_no_quote(root, sign_sgx):
    quote = sign_sgx(ASKED)
    (root / "quote").write_bytes(quote.ljust(8192, b"\0"))
    assert GramineDevice(root).quote(ASKED)[: len(quote)] == quote
    (root / "quote").write_bytes(quote.ljust(8193, b"\0"))
    with pytest.raises(QuoteUnavailable, match="more than 8192 bytes"):
        GramineDevice(root).quote(ASKED)


@pytest.mark.parametrize("missing", ["quote", "user_report_data"])
def test_a_missing_pseudo_file_is_named(root, sign_sgx, missing):
    (root / "quote").write_bytes(sign_sgx(ASKED))
    (root / missing).unlink()
    with pytest.raises(QuoteUnavailable, match=missing):
        GramineDevice(root).quote(ASKED)
    assert not (root / missing).exists()


def test_report_data_of_another_size_is_never_written(root):
    with pytest.raises(ReportDataSize):
        GramineDevice(root).quote(bytes(32))
    assert (root / "user_report_data").read_bytes() == bytes(64)


def test_outside_an_enclave_there_is_no_platform(tmp_path):
    with pytest.raises(PlatformAbsent, match="attestation_type"):
        GramineDevice(tmp_path / "attestation")


@pytest.mark.parametrize("kind", [b"none", b"epid", b""])
def test_an_enclave_without_dcap_is_no_platform(root, kind):
    (root / "attestation_type").write_bytes(kind)
    with pytest.raises(PlatformAbsent) as refusal:
        GramineDevice(root)
    assert 'sgx.remote_attestation = "dcap"' in refusal.value.fix


def test_the_target_info_is_handed_on_whole_or_not_at_all(root):
    assert GramineDevice(root).my_target_info() == bytes(512)
    for wrong in (bytes(511), bytes(513), b""):
        (root / "my_target_info").write_bytes(wrong)
        with pytest.raises(QuoteUnavailable, match="my_target_info"):
            GramineDevice(root).my_target_info()


def test_a_key_is_16_bytes_that_somebody_has_set(root):
    keys = GramineKeys(root)
    with pytest.raises(GramineKeyUnusable, match="No such file") as refusal:
        keys.read("default")
    assert refusal.value.code == "SR-GRAMINE-KEY"
    (root / "keys" / "default").write_bytes(b"")
    with pytest.raises(GramineKeyUnusable, match="no value yet"):
        keys.read("default")
    keys.write("default", Secret(bytes(range(16))))
    assert keys.read("default") == Secret(bytes(range(16)))
    (root / "keys" / "default").write_bytes(bytes(17))
    with pytest.raises(GramineKeyUnusable, match="17 bytes"):
        keys.read("default")


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_key_of_another_size_is_never_written(root, size):
    (root / "keys" / "default").write_bytes(b"")
    with pytest.raises(GramineKeyUnusable):
        GramineKeys(root).write("default", Secret(bytes(size)))
    assert (root / "keys" / "default").read_bytes() == b""


def test_before_1_2_there_is_one_key_in_hex(tmp_path):
    (tmp_path / "protected_files_key").write_bytes(b"")
    GramineKeys(tmp_path).write("default", Secret(bytes(range(16))))
    assert (tmp_path / "protected_files_key").read_bytes() == bytes(range(16)).hex().encode()
    with pytest.raises(GramineKeyUnusable):
        GramineKeys(tmp_path).write("other", Secret(bytes(16)))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../quote", "a\0b"])
def test_a_key_lies_in_the_key_store_and_nowhere_else(root, name):
    with pytest.raises(GramineKeyUnusable, match="no name of a key"):
        GramineKeys(root).read(name)


def test_a_key_that_gramine_does_not_know_is_not_made(root):
    with pytest.raises(GramineKeyUnusable):
        GramineKeys(root).write("unknown", Secret(bytes(16)))
    assert not (root / "keys" / "unknown").exists()
