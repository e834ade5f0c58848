"""Quotes from inside a TDX guest, through configfs-tsm (specification section 15).

Every quote has a directory of its own, under a name that nobody guesses, and is read between two looks at the write
counter: had anybody else written, the quote could be over their data. The directory is removed whatever happens. Older
kernels (before 6.7) have /dev/tdx_guest alone, which hands out a report that only the host's quoting service can turn
into a quote: that path is not built, and such a kernel is told apart so that the message can say so.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from strongroom.attestation.quote import MAX_QUOTE_BYTES
from strongroom.platforms.evidence import (
    PlatformAbsent,
    QuoteNotOurs,
    QuoteUnavailable,
    check_report_data,
    report_data_of,
)
from strongroom.platforms.tsm_reports import MAX_ATTRIBUTE_BYTES, ConfigfsReports, Reports

TDX_PROVIDER: Final = "tdx_guest"
TDX_DEVICE: Final = Path("/dev/tdx_guest")
ATTEMPTS: Final = 5
_WRAP: Final = 1 << 64  # the counter is the kernel's unsigned long

# What the kernel's error numbers mean here, and what to do (drivers/virt/coco).
_EXPLAINED: Final = {
    errno.EBUSY: (
        "the previous request is still with the host",
        "Wait for the host's quote generation service (QGS), or restart it there, then try again.",
    ),
    errno.ENXIO: (
        "no driver makes reports here",
        "Load the guest driver: modprobe tdx_guest. Where that fails, this is no TDX guest.",
    ),
    errno.EINVAL: (
        "the host refused the request",
        "Let the host's operator look at its quote generation service (QGS) and at the machine's registration.",
    ),
    errno.ETIMEDOUT: (
        "the host did not answer in time",
        "Let the host's operator check that the quote generation service (QGS) runs and can reach its PCCS.",
    ),
    errno.EIO: (
        "the host's quoting service failed",
        "Let the host's operator look at its quote generation service (QGS) and at the machine's registration.",
    ),
    errno.EACCES: (
        "this user may not ask for reports",
        "Run as root, or as the user that owns the directory of configfs-tsm.",
    ),
    errno.ENOENT: (
        "the kernel offers no reports there",
        "Use a kernel from 6.7 on with CONFIG_TSM_REPORTS, and mount it: mount -t configfs none /sys/kernel/config.",
    ),
    errno.EROFS: (
        "configfs is mounted read-only",
        "Mount it writable into this container: /sys/kernel/config/tsm.",
    ),
}  # fmt: skip
_EXPLAINED[errno.EPERM] = _EXPLAINED[errno.EACCES]


class TdxGuest:
    """The quote interface of a TDX guest. Threads and processes may use it at the same time."""

    def __init__(self, reports: Reports | None = None, *, device: Path = TDX_DEVICE) -> None:
        self._reports = reports or ConfigfsReports()
        self._device = device
        self._check_provider()

    @property
    def name(self) -> str:
        """How logs call the platform."""
        return "tdx"

    def quote(self, report_data: bytes) -> bytes:
        """Return a fresh quote over 64 bytes of report data."""
        check_report_data(report_data)
        for _ in range(ATTEMPTS):
            try:
                with _entry(self._reports) as entry:
                    quote = self._quote_once(entry, report_data)
            except OSError as problem:
                sentence, fix = self._said(problem)
                raise QuoteUnavailable(sentence, fix=fix) from None
            if quote is not None:
                return quote
        raise QuoteNotOurs(f"somebody else wrote into {self._reports.place} between each of {ATTEMPTS} requests")

    def _quote_once(self, entry: str, report_data: bytes) -> bytes | None:
        """Return a quote over the report data, or None if somebody else wrote into the entry meanwhile."""
        before = self._generation(entry)
        self._reports.write(entry, "inblob", report_data)
        quote = self._reports.read(entry, "outblob", MAX_QUOTE_BYTES + 1)
        if self._generation(entry) != (before + 1) % _WRAP:
            return None
        return quote if report_data_of(quote) == report_data else None

    def _generation(self, entry: str) -> int:
        text = self._reports.read(entry, "generation", MAX_ATTRIBUTE_BYTES).strip()
        if not text.isdigit() or len(text) > len(str(_WRAP)):
            raise QuoteUnavailable(f"{self._reports.place}: the write counter reads {text[:32]!r}")
        return int(text)

    def _check_provider(self) -> None:
        """Raise PlatformAbsent unless it is TDX that makes the reports here."""
        try:
            provider = provider_of(self._reports)
        except OSError as problem:
            sentence, fix = self._said(problem)
            if problem.errno == errno.ENOENT and self._device.exists():
                sentence += (
                    f"; {self._device} alone is there, as before Linux 6.7, and quotes over it are not supported"
                )
            raise PlatformAbsent(sentence, fix=fix) from None
        if provider != TDX_PROVIDER:
            raise PlatformAbsent(
                f"reports in {self._reports.place} come from {provider[:32]!r}, not from {TDX_PROVIDER!r}",
                fix="Run in a TDX guest: this one's evidence is of another kind, which is not verified yet.",
            )

    def _said(self, problem: OSError) -> tuple[str, str | None]:
        """Return what the kernel meant as a sentence, and what to do where that is known."""
        meaning, fix = _EXPLAINED.get(problem.errno or 0, (problem.strerror or "failed", None))
        return f"{self._reports.place}: {meaning} ({errno.errorcode.get(problem.errno or 0, problem.errno)})", fix


def provider_of(reports: Reports) -> str:
    """Return who makes the reports; raises OSError as the kernel does."""
    with _entry(reports) as entry:
        return reports.read(entry, "provider", MAX_ATTRIBUTE_BYTES).decode("ascii", "replace").strip()


@contextlib.contextmanager
def _entry(reports: Reports) -> Iterator[str]:
    """Lend a new entry, gone at the end."""
    name = f"strongroom-{secrets.token_hex(8)}"
    reports.make(name)
    try:
        yield name
    finally:
        reports.remove(name)
