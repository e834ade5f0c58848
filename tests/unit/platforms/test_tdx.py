"""A TDX guest's configfs-tsm: the kernel's rules played back, real files, and each error in words one can act on."""

import errno
import os

import pytest

from strongroom.attestation import parse_quote
from strongroom.platforms import ConfigfsReports, PlatformAbsent, QuoteNotOurs, QuoteUnavailable, TdxGuest
from strongroom.platforms.tdx import ATTEMPTS

ASKED = bytes([7]) * 64


@pytest.fixture
def reports(doubles, sign_tdx):
    return doubles.KernelReports(sign_tdx)


@pytest.fixture
def guest(reports, tmp_path):
    return TdxGuest(reports, device=tmp_path / "tdx_guest")


def test_the_quote_is_the_one_that_the_kernel_made(guest, reports):
    assert parse_quote(guest.quote(ASKED)).body.report_data == ASKED
    assert reports.entries == {}


def disturbed(reports, times, data=bytes(64)):
    """Let another process write into every entry, `times` times."""
    seen = []

    def write(entry):
        seen.append(entry.inblob)
        if len(seen) <= times:
            reports.inblob(entry, data)

    reports.meanwhile = write
    return seen


@pytest.mark.parametrize("data", [bytes(64), ASKED], ids=["other data", "the same data"])
def test_who_is_disturbed_asks_again_in_an_entry_of_its_own(guest, reports, data):
    seen = disturbed(reports, ATTEMPTS - 1, data)
    assert parse_quote(guest.quote(ASKED)).body.report_data == ASKED
    assert seen == [ASKED] * ATTEMPTS
    assert reports.entries == {}


def test_who_is_disturbed_each_time_gets_no_quote(guest, reports):
    seen = disturbed(reports, ATTEMPTS)
    with pytest.raises(QuoteNotOurs, match="somebody else") as refusal:
        guest.quote(ASKED)
    assert refusal.value.code == "SR-QUOTE-NOT-OURS"
    assert len(seen) == ATTEMPTS
    assert reports.entries == {}


def test_a_quote_over_other_data_is_not_handed_on_whatever_the_counter_says(guest, reports, sign_tdx):
    reports.sign = lambda _report_data: sign_tdx(bytes(64))
    with pytest.raises(QuoteNotOurs):
        guest.quote(ASKED)


def test_the_write_counter_may_wrap(doubles, sign_tdx, tmp_path):
    reports = doubles.KernelReports(sign_tdx, first_generation=(1 << 64) - 1)
    assert TdxGuest(reports, device=tmp_path / "none").quote(ASKED)


@pytest.mark.parametrize("where", ["inblob", "outblob", "generation"])
@pytest.mark.parametrize(
    "explained",
    [
        (errno.EBUSY, "still with the host", "QGS"),
        (errno.ENXIO, "no driver", "modprobe tdx_guest"),
        (errno.EINVAL, "refused the request", "registration"),
        (errno.ETIMEDOUT, "did not answer", "PCCS"),
        (errno.EIO, "service failed", "QGS"),
        (errno.EACCES, "may not ask", "root"),
    ],
)
def test_an_error_of_the_kernel_is_explained_and_nothing_is_left(guest, reports, where, explained):
    number, words, next_step = explained
    reports.fails[where] = number
    with pytest.raises(QuoteUnavailable, match=words) as refusal:
        guest.quote(ASKED)
    assert errno.errorcode[number] in refusal.value.sentence
    assert next_step in refusal.value.fix
    assert refusal.value.code == "SR-QUOTE-UNAVAILABLE"
    assert reports.entries == {}


def test_an_error_that_nobody_foresaw_is_still_one_sentence(guest, reports):
    reports.fails["outblob"] = errno.ENOMEM
    with pytest.raises(QuoteUnavailable, match="ENOMEM"):
        guest.quote(ASKED)


@pytest.mark.parametrize("count", [b"", b"x", b"-1", b"1" * 30])
def test_a_counter_that_is_no_number_is_refused(guest, reports, monkeypatch, count):
    read = reports.read
    monkeypatch.setattr(
        reports, "read", lambda name, what, limit: count if what == "generation" else read(name, what, limit)
    )
    with pytest.raises(QuoteUnavailable, match="write counter"):
        guest.quote(ASKED)


@pytest.mark.parametrize("outblob", [b"", bytes(1000), bytes(70_000)], ids=["nothing", "no quote", "too much"])
def test_what_is_no_quote_is_refused(guest, reports, outblob):
    reports.sign = lambda _report_data: outblob
    with pytest.raises(QuoteUnavailable, match="no quote"):
        guest.quote(ASKED)


def test_zeros_behind_a_quote_are_handed_on(guest, reports, sign_tdx):
    reports.sign = lambda report_data: sign_tdx(report_data) + bytes(70)  # as real guests have it
    assert parse_quote(guest.quote(ASKED)).trailing_len == 70


@pytest.mark.parametrize("provider", ["sev_guest", "arm_cca_guest", "", "tdx_guest2"])
def test_reports_of_another_provider_are_no_tdx(doubles, sign_tdx, provider, tmp_path):
    reports = doubles.KernelReports(sign_tdx, provider=provider)
    with pytest.raises(PlatformAbsent, match="not from 'tdx_guest'") as refusal:
        TdxGuest(reports, device=tmp_path / "none")
    assert refusal.value.code == "SR-PLATFORM-ABSENT"
    assert reports.entries == {}


def test_without_a_driver_the_module_to_load_is_named(doubles, sign_tdx, tmp_path):
    with pytest.raises(PlatformAbsent, match="ENXIO") as refusal:
        TdxGuest(doubles.KernelReports(sign_tdx, provider=None), device=tmp_path / "none")
    assert "modprobe tdx_guest" in refusal.value.fix


def test_without_configfs_the_mount_is_named(tmp_path):
    with pytest.raises(PlatformAbsent, match="offers no reports") as refusal:
        TdxGuest(ConfigfsReports(tmp_path / "tsm" / "report"), device=tmp_path / "none")
    assert "mount -t configfs" in refusal.value.fix


def test_an_old_kernel_that_has_the_device_alone_is_told_apart(tmp_path):
    (tmp_path / "tdx_guest").touch()
    with pytest.raises(PlatformAbsent, match=r"before Linux 6\.7") as refusal:
        TdxGuest(ConfigfsReports(tmp_path / "tsm" / "report"), device=tmp_path / "tdx_guest")
    assert "6.7" in refusal.value.fix


def test_real_files_are_written_and_read_whole(doubles, sign_tdx, tmp_path):
    quote = TdxGuest(doubles.FolderReports(tmp_path, sign_tdx)).quote(ASKED)
    assert parse_quote(quote).body.report_data == ASKED
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_never_made(tmp_path):
    reports = ConfigfsReports(tmp_path)
    reports.make("entry")
    with pytest.raises(FileNotFoundError):
        reports.write("entry", "inblob", ASKED)
    assert list((tmp_path / "entry").iterdir()) == []


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "entry").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "entry" / "outblob").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        ConfigfsReports(tmp_path).read("entry", "outblob", 10)


def test_no_more_is_read_than_asked_for(tmp_path):
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry" / "outblob").write_bytes(bytes(100))
    assert len(ConfigfsReports(tmp_path).read("entry", "outblob", 10)) == 10
