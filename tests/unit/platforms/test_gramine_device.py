"""Gramine's pseudo-files, played by a folder: what is refused, and that nobody's report data is mixed up."""

import pytest

from strongroom.platforms import GramineDevice, PlatformAbsent, QuoteNotOurs, QuoteUnavailable, ReportDataSize

ASKED = bytes([7]) * 64


@pytest.fixture
def root(tmp_path):
    (tmp_path / "attestation_type").write_bytes(b"dcap\0")
    (tmp_path / "user_report_data").write_bytes(bytes(64))
    return tmp_path


def test_report_data_is_written_before_the_quote_is_read(root):
    (root / "quote").write_bytes(bytes(368) + ASKED + bytes(4000))
    assert GramineDevice(root).quote(ASKED)[368:432] == ASKED
    assert (root / "user_report_data").read_bytes() == ASKED


def test_a_quote_over_something_else_is_not_handed_on(root):
    (root / "quote").write_bytes(bytes(5000))
    with pytest.raises(QuoteNotOurs) as refusal:
        GramineDevice(root).quote(ASKED)
    assert refusal.value.code == "SR-QUOTE-NOT-OURS"


@pytest.mark.parametrize("content", [b"", bytes(431), bytes(8193)])
def test_bytes_that_are_no_quote_are_refused(root, content):
    (root / "quote").write_bytes(content)
    with pytest.raises(QuoteUnavailable, match="no quote"):
        GramineDevice(root).quote(ASKED)


@pytest.mark.parametrize("missing", ["quote", "user_report_data"])
def test_a_missing_pseudo_file_is_named(root, missing):
    (root / "quote").write_bytes(bytes(368) + ASKED + bytes(4000))
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
