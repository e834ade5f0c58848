"""Quotes from Gramine: the pseudo-files below /dev/attestation (spec gramine.md section 8)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from strongroom.platforms.evidence import (
    MAX_QUOTE_BYTES,
    PlatformAbsent,
    QuoteNotOurs,
    QuoteUnavailable,
    check_report_data,
    report_data_of,
)

DEVICE: Final = Path("/dev/attestation")
_LOCK: Final = threading.Lock()  # the pseudo-files are one per enclave, whoever holds them


class GramineDevice:
    """The quote interface that Gramine offers to the program inside. `root` is a parameter for tests alone."""

    def __init__(self, root: Path = DEVICE) -> None:
        self._root = root
        self._check_type()

    @property
    def name(self) -> str:
        """How logs call the platform."""
        return "gramine"

    def quote(self, report_data: bytes) -> bytes:
        """Return a fresh quote: writing the report data and reading the quote are one critical section."""
        check_report_data(report_data)
        with _LOCK:
            try:
                with (self._root / "user_report_data").open("r+b", buffering=0) as file:
                    file.write(report_data)
                with (self._root / "quote").open("rb") as file:
                    quote = file.read(MAX_QUOTE_BYTES + 1)
            except OSError as problem:
                raise QuoteUnavailable(f"{problem.filename or self._root}: {problem.strerror}") from None
        if report_data_of(quote) != report_data:
            raise QuoteNotOurs(f"{self._root / 'quote'} is over other report data; somebody else wrote in between")
        return quote

    def _check_type(self) -> None:
        path = self._root / "attestation_type"
        try:
            with path.open("rb") as file:
                kind = file.read(64).strip(b"\0\n ")
        except OSError as problem:
            raise PlatformAbsent(f"{path}: {problem.strerror}; this is no SGX enclave under Gramine") from None
        if kind != b"dcap":
            raise PlatformAbsent(
                f"{path} says {kind.decode('ascii', 'replace')!r}, not 'dcap'",
                fix='Set sgx.remote_attestation = "dcap" in the Gramine manifest and sign it again.',
            )
