"""The ledger on disk: one line per decision, hash-chained, and on the disk before a secret leaves (threat SA-11).

One writer at a time holds a lock. Beside `ledger.jsonl` lies `ledger.jsonl.head`, the end of the chain as of the last
sync; whoever can write both can rewrite history, so keep a head somewhere else too (`strongroom ledger verify` prints
it). Platform identities are written as keyed hashes (threat PL-07), secrets only by name.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from strongroom.broker.ledger import chain
from strongroom.broker.ledger.chain import Head
from strongroom.broker.ledger.faults import LedgerBroken
from strongroom.errors import Tampered, Unreachable

HEAD_SUFFIX: Final = ".head"
SALT_BYTES: Final = 16
PLATFORM_HASH_CHARS: Final = 24


class LedgerInUse(Unreachable):
    """Another broker writes to this ledger."""

    code = "SR-LEDGER-IN-USE"
    fix = "Stop the other broker, or give this one a ledger of its own."


class LedgerUnwritable(Unreachable):
    """The ledger cannot take another line, so nothing can be released."""

    code = "SR-LEDGER-UNWRITABLE"
    fix = "Make room on the disk, check that the file is writable, and start the broker again."


class LedgerTorn(Tampered):
    """The ledger's last line is not complete."""

    code = "SR-LEDGER-TORN"
    fix = "If the machine lost power, start the broker once: it repairs the line and says so in the ledger."


class Ledger:
    """The one writer of a ledger; safe to use from several threads. Close it, or use it in a `with` block.

    Raises LedgerInUse, LedgerBroken or LedgerUnwritable when it cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._append_lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._failed: str | None = None
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as problem:
            raise LedgerUnwritable(f"{path}: {problem.strerror}") from None
        try:
            self._lock_file()
            self._head_file = os.open(head_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self.repaired_bytes = self._resume()
            except BaseException:
                os.close(self._head_file)
                raise
        except BaseException:
            os.close(self._file)
            raise

    def _lock_file(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LedgerInUse(f"{self.path} is locked by another process") from None

    def _resume(self) -> int:
        """Check what is there, cut a torn last line off, and begin a new chain if there is none."""
        whole, torn = _split(self.path)
        remembered = _remembered(self.path, whole)
        self._head = self._synced = chain.check(_lines(self.path, whole), remembered=remembered)
        self._salt = _salt_of(self.path) if whole else os.urandom(SALT_BYTES)
        self._size = whole
        if torn:
            digest = hashlib.sha256(_tail(self.path, whole)).hexdigest()
            os.ftruncate(self._file, whole)
        now = datetime.now(UTC)
        if not whole:
            self.append({"kind": "genesis", "version": 1, "salt": self._salt.hex()}, at=now)
            os.fsync(self._head_file)
            _sync_folder(self.path.parent)
        if torn:
            self.append({"kind": "repair", "torn_bytes": torn, "torn_sha256": digest}, at=now)
        return torn

    def append(self, record: Mapping[str, object], *, at: datetime, durable: bool = True) -> int:
        """Put `record` at the end and return its line number; when this returns, a durable line is on the disk.

        A line that is not durable reaches the disk with the next one that is. Raises LedgerUnwritable.
        """
        with self._append_lock:
            self._check_usable()
            line, head = chain.write_line(self._head, record, at=at)
            self._write(line)
            self._head, self._size = head, self._size + len(line)
        if durable:
            self._sync(head.seq)
        return head.seq

    def _write(self, line: bytes) -> None:
        try:
            done = os.write(self._file, line)
        except OSError as problem:
            self._undo(problem.strerror or "write error")
        if done != len(line):
            self._undo("no space left for a whole line")

    def _undo(self, reason: str) -> None:
        """Cut off what a failed write left behind; a ledger that cannot even do that takes no more lines."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self._failed = reason
        raise LedgerUnwritable(f"{self.path}: {reason}") from None

    def _sync(self, seq: int) -> None:
        """Force everything up to line `seq` to the disk; threads that wait here share one fsync."""
        with self._sync_lock:
            self._check_usable()
            if self._synced.seq >= seq:
                return
            with self._append_lock:
                target = self._head
            try:
                os.fsync(self._file)
                os.pwrite(self._head_file, target.to_text().encode(), 0)  # never ahead of what is on the disk
            except OSError as problem:
                self._failed = problem.strerror or "sync error"  # what is on the disk now is unknown
                raise LedgerUnwritable(f"{self.path}: {self._failed}") from None
            self._synced = target

    def _check_usable(self) -> None:
        if self._failed is not None:
            raise LedgerUnwritable(f"{self.path}: stopped after: {self._failed}")

    def hashed_platform(self, platform_id: bytes) -> str:
        """Return the name a platform (its PPID) has in this ledger: keyed, so that two ledgers cannot be joined."""
        return hmac.new(self._salt, platform_id, hashlib.sha256).hexdigest()[:PLATFORM_HASH_CHARS]

    def verify(self) -> Head:
        """Check the whole ledger as it lies on the disk and return its head. Raises LedgerBroken or LedgerTorn."""
        return verify(self.path)

    def close(self) -> None:
        """Sync what is not yet on the disk and give the lock back."""
        try:
            if self._failed is None:
                self._sync(self._head.seq)
        finally:
            self._failed = "it was closed"  # a thread that comes late must not write to a reused descriptor
            os.close(self._head_file)
            os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def head_path(path: Path) -> Path:
    """Return where the end of the chain is remembered."""
    return path.with_name(path.name + HEAD_SUFFIX)


def verify(path: Path, *, remembered: Head | None = None) -> Head:
    """Check a ledger from its first line to its last and return its head.

    `remembered` takes the place of the head file beside the ledger. Raises LedgerBroken, LedgerTorn or OSError.
    """
    size = path.stat().st_size
    remembered = remembered or _remembered(path, size)  # before the lines: a broker may be adding some right now
    whole, torn = _split(path)
    head = chain.check(_lines(path, whole), remembered=remembered)
    if torn:
        raise LedgerTorn(f"{path}: {torn} bytes of an incomplete line stand behind line {head.seq}")
    return head


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of a ledger without judging the chain; an incomplete last line is left out."""
    whole, _ = _split(path)
    for seq, line in enumerate(_lines(path, whole)):
        yield chain.read_line(line, seq=seq)


def _split(path: Path) -> tuple[int, int]:
    """Return how many bytes of the file are whole lines, and how many follow them."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - chain.MAX_LINE_BYTES - 1))
        tail = file.read()
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    if torn > chain.MAX_LINE_BYTES:
        raise LedgerBroken(f"{path} ends in more than {chain.MAX_LINE_BYTES} bytes that are no line")
    return size - torn, torn


def _lines(path: Path, whole: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while file.tell() < whole:
            line = file.readline(chain.MAX_LINE_BYTES + 1)
            if not line.endswith(b"\n"):
                raise LedgerBroken(f"{path} holds a line of more than {chain.MAX_LINE_BYTES} bytes")
            yield line[:-1]


def _tail(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(chain.MAX_LINE_BYTES + 1)


def _remembered(path: Path, size: int) -> Head | None:
    """Return the head beside the ledger; only a ledger that holds no decision yet may be without one."""
    try:
        text = head_path(path).read_bytes().decode("ascii", "replace")
    except FileNotFoundError:
        text = ""
    if text:
        return Head.from_text(text)
    if not size or _has_only_begun(path, size):
        return None
    raise LedgerBroken(f"{head_path(path)} is missing or empty, so lines cut off the end would not be noticed")


def _has_only_begun(path: Path, size: int) -> bool:
    """Return whether the first line is all there is: a full disk or a crash came before its head was written."""
    with path.open("rb") as file:
        return file.readline(chain.MAX_LINE_BYTES + 1).endswith(b"\n") and file.tell() == size


def _salt_of(path: Path) -> bytes:
    first = next(entries(path), {})
    salt = first.get("salt")
    if first.get("kind") != "genesis" or not isinstance(salt, str) or len(salt) != 2 * SALT_BYTES:
        raise LedgerBroken(f"{path} does not begin as a ledger does")
    try:
        return bytes.fromhex(salt)
    except ValueError:
        raise LedgerBroken(f"{path} does not begin as a ledger does") from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
