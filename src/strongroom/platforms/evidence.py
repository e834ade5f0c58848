"""The Platform protocol and what every platform has in common: 64 bytes in, a quote over exactly these bytes out."""

from __future__ import annotations

from typing import Final, Protocol

from strongroom.attestation import EvidenceRefused, parse_quote
from strongroom.errors import BadInput, Tampered, Unreachable

REPORT_DATA_BYTES: Final = 64
MAX_QUOTE_BYTES: Final = 8192  # what /dev/attestation/quote can hand out; ours are about 5 kB


class PlatformAbsent(Unreachable):
    """This process runs in no TEE and under no simulated platform, so there is nothing that could vouch for it."""

    code = "SR-PLATFORM-ABSENT"
    fix = 'Start it with strongroom sim run, in a TDX guest, or under Gramine with sgx.remote_attestation = "dcap".'


class QuoteUnavailable(Unreachable):
    """The platform is there but did not hand out a quote."""

    code = "SR-QUOTE-UNAVAILABLE"
    fix = "Look at the platform's own log (the launcher's, aesmd's under Gramine, the host's QGS for TDX), try again."


class QuoteNotOurs(Tampered):
    """The platform answered with a quote over other report data than was asked for."""

    code = "SR-QUOTE-NOT-OURS"
    fix = "Let one process alone use the platform's quote interface, then start again."


class ReportDataSize(BadInput):
    """Report data must have exactly 64 bytes."""

    code = "SR-REPORT-DATA-SIZE"
    fix = "Hash what the quote is to bind and pad it to 64 bytes."


class Platform(Protocol):
    """Where evidence comes from. It never says which trust domain it is: the verifier does."""

    @property
    def name(self) -> str:
        """How logs call the platform."""

    def quote(self, report_data: bytes) -> bytes:
        """Return a fresh quote over 64 bytes of report data. Threads may share a platform.

        Raises ReportDataSize, QuoteUnavailable, QuoteNotOurs or PlatformAbsent.
        """


def check_report_data(report_data: bytes) -> None:
    """Raise ReportDataSize unless there are exactly 64 bytes."""
    if len(report_data) != REPORT_DATA_BYTES:
        raise ReportDataSize(f"report data has {len(report_data)} bytes; a quote binds exactly {REPORT_DATA_BYTES}")


def report_data_of(quote: bytes) -> bytes:
    """Return the report data of a quote of any version and TEE; raise QuoteUnavailable where it is none."""
    try:
        return parse_quote(quote).body.report_data
    except EvidenceRefused as problem:
        raise QuoteUnavailable(
            f"the platform handed out {len(quote)} bytes, which is no quote: {problem.sentence}"
        ) from None
