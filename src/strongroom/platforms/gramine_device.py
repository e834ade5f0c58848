"""Quotes from Gramine: the pseudo-files below /dev/attestation (spec gramine.md section 8).

They are one set per enclave and not thread-safe: writing the report data and reading the quote are one critical
section. Threads are kept apart by a lock; other processes on the same files (a folder that plays the device) by
flock where the files have it, and, everywhere, by looking at what the quote is over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from strongroom.errors import BadInput
from strongroom.platforms.evidence import (
    MAX_QUOTE_BYTES,
    PlatformAbsent,
    QuoteNotOurs,
    QuoteUnavailable,
    check_report_data,
    report_data_of,
)
from strongroom.secret import Secret

DEVICE: Final = Path("/dev/attestation")
TARGET_INFO_BYTES: Final = 512
KEY_BYTES: Final = 16
ATTEMPTS: Final = 5  # whoever loses the files to another process this often is not alone with them
_NO_LOCKS: Final = {errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF, errno.ENOLCK}
_LOCK: Final = threading.Lock()  # the pseudo-files are one per enclave, whoever holds them


class GramineKeyUnusable(BadInput):
    """A key of Gramine's key store has no value, or its name or size is not what a key has."""

    code = "SR-GRAMINE-KEY"
    fix = "Name a key as the manifest's fs.mounts do, and let it be provisioned (16 bytes) before it is used."


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
        """Return a fresh quote over 64 bytes of report data."""
        check_report_data(report_data)
        with _LOCK:
            for _ in range(ATTEMPTS):
                quote = self._quote_once(report_data)
                if report_data_of(quote) == report_data:
                    return quote
        raise QuoteNotOurs(f"{self._root / 'quote'} is over other report data; somebody else wrote in between")

    def my_target_info(self) -> bytes:
        """Return the 512 bytes with which another enclave on this machine makes a report for this one."""
        found = self._read("my_target_info", TARGET_INFO_BYTES)
        if len(found) != TARGET_INFO_BYTES:
            raise QuoteUnavailable(f"{self._root / 'my_target_info'} has {len(found)} bytes, not {TARGET_INFO_BYTES}")
        return found

    def _quote_once(self, report_data: bytes) -> bytes:
        path = self._root / "user_report_data"
        try:
            with path.open("r+b", buffering=0) as file, _exclusive(file.fileno()):
                written = file.write(report_data)
                if written != len(report_data):
                    raise QuoteUnavailable(f"{path} took {written} of {len(report_data)} bytes")
                return self._read("quote", MAX_QUOTE_BYTES)
        except OSError as problem:
            raise QuoteUnavailable(f"{problem.filename or path}: {problem.strerror}") from None

    def _read(self, name: str, limit: int) -> bytes:
        """Read a pseudo-file to its end through one descriptor, since every opening makes a new answer."""
        try:
            with (self._root / name).open("rb") as file:
                found = file.read(limit + 1)
        except OSError as problem:
            raise QuoteUnavailable(f"{self._root / name}: {problem.strerror}") from None
        if len(found) > limit:
            raise QuoteUnavailable(f"{self._root / name} has more than {limit} bytes")
        return found

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


OLD_KEY: Final = "protected_files_key"
OLD_NAME: Final = "default"  # what later releases call that key


class GramineKeys:
    """The key store of Gramine's encrypted files; it is there under gramine-direct too, without attestation."""

    def __init__(self, root: Path = DEVICE) -> None:
        self._folder = root / "keys"

    def read(self, name: str) -> Secret:
        """Return the 16 bytes of a key; raise GramineKeyUnusable while it has no value."""
        path = self._path(name)
        try:
            with path.open("rb") as file:
                found = file.read(KEY_BYTES + 1)
        except OSError as problem:
            raise GramineKeyUnusable(f"{path}: {problem.strerror}") from None
        if len(found) != KEY_BYTES:
            raise GramineKeyUnusable(f"{path} has {len(found)} bytes, not {KEY_BYTES}: it has no value yet")
        return Secret(found)

    def write(self, name: str, key: Secret) -> None:
        """Give a key its value: 16 bytes, in one write, as Gramine wants it."""
        path, old = self._path(name), self._folder.with_name(OLD_KEY)
        with key.reveal() as raw:
            if len(raw) != KEY_BYTES:
                raise GramineKeyUnusable(f"a key for {path} has {len(raw)} bytes, not {KEY_BYTES}")
            value = raw
            if name == OLD_NAME and not self._folder.is_dir() and old.exists():  # before 1.2: one key, in hex
                path, value = old, raw.hex().encode()
            try:
                with path.open("r+b", buffering=0) as file:
                    written = file.write(value)
            except OSError as problem:
                raise GramineKeyUnusable(f"{path}: {problem.strerror}") from None
        if written != len(value):
            raise GramineKeyUnusable(f"{path} took {written} of {len(value)} bytes")

    def _path(self, name: str) -> Path:
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise GramineKeyUnusable(f"{name[:64]!r} is no name of a key")
        return self._folder / name


@contextlib.contextmanager
def _exclusive(descriptor: int) -> Iterator[None]:
    """Keep other processes away as long as the block runs, where the file system knows such locks.

    Gramine's pseudo-files do not unless the manifest asks for flock; there every process has an enclave, and so files,
    of its own.
    """
    locked = True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as problem:
        if problem.errno not in _NO_LOCKS:
            raise
        locked = False
    try:
        yield
    finally:
        if locked:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
