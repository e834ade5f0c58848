"""The file `ledger.jsonl` of earlier releases: read, verified, and locked against a broker that still writes it.

World: the file, and beside it `ledger.jsonl.head`, the end of the chain as of the last sync. An exported ledger is read
the same way; it has no head beside it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom.broker.ledger import chain
from strongroom.broker.ledger.audit import Verified, audit
from strongroom.broker.ledger.chain import Head
from strongroom.broker.ledger.checkpoint import Checkpoint
from strongroom.broker.ledger.faults import HeadChanged, LedgerBroken, RootChanged
from strongroom.errors import Tampered, Unreachable

HEAD_SUFFIX: Final = ".head"
_MAX_HEAD_BYTES: Final = 200


class LedgerInUse(Unreachable):
    """An older broker still writes to this ledger's file."""

    code = "SR-LEDGER-IN-USE"
    fix = "Stop the other broker first."


class LedgerTorn(Tampered):
    """The ledger's last line is not complete."""

    code = "SR-LEDGER-TORN"
    fix = "If the machine lost power, start the release that wrote the file once: it repairs the line and says so."


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the lock that the writer of a ledger's file holds. Raises LedgerInUse or OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LedgerInUse(f"{path} is locked by another process") from None
        yield
    finally:
        os.close(descriptor)


def head_path(path: Path) -> Path:
    """Return where the end of the chain is remembered."""
    return path.with_name(path.name + HEAD_SUFFIX)


def verify(
    path: Path, *, remembered: Head | None = None, keys: Sequence[Ed25519PublicKey] = (),
    checkpoints: Sequence[Checkpoint] = (),
) -> Verified:  # fmt: skip
    """Check a ledger's file from its first line to its last and return what it is.

    `remembered` takes the place of the head file beside it, `keys` and `checkpoints` as `audit` takes them. Raises the
    fault of what does not hold, LedgerTorn or OSError.
    """
    size = path.stat().st_size
    # Before the lines: a broker may be adding some right now.
    known = remembered or (None if checkpoints else _remembered(path, size))
    whole, torn = _split(path)
    found = audit(_lines(path, whole), keys=keys, checkpoints=checkpoints, remembered=[known] if known else [])
    if not found.roots and not _is_old(path):
        raise RootChanged(f"{path} holds no signed root, though a broker signs the first at once")
    if torn:
        raise LedgerTorn(f"{path}: {torn} bytes of an incomplete line stand behind line {found.head.seq}")
    return found


def lines(path: Path) -> Iterator[bytes]:
    """Yield the whole lines, without newlines; an incomplete last one is left out. Raises LedgerBroken or OSError."""
    whole, _ = _split(path)
    return _lines(path, whole)


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


def _remembered(path: Path, size: int) -> Head | None:
    """Return the head beside the ledger; an export has none, nor has a ledger that holds no decision yet."""
    try:
        with head_path(path).open("rb") as file:
            text = file.read(_MAX_HEAD_BYTES).decode("ascii", "replace")
    except FileNotFoundError:
        text = ""
    if text:
        return Head.from_text(text)
    if not size or _has_only_begun(path, size) or not _is_old(path):
        return None
    raise HeadChanged(f"{head_path(path)} is missing or empty, so lines cut off the end would not be noticed")


def _is_old(path: Path) -> bool:
    """Return whether the file is one that a broker wrote to, and not an export from a store."""
    return next(entries(path), {}).get("version") == 1


def _has_only_begun(path: Path, size: int) -> bool:
    """Return whether the first line is all there is: a full disk or a crash came before its head was written."""
    with path.open("rb") as file:
        return file.readline(chain.MAX_LINE_BYTES + 1).endswith(b"\n") and file.tell() == size
