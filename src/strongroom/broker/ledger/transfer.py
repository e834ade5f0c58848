"""Lines in and out of the store, byte for byte: an old `ledger.jsonl` is taken in, a copy for auditors is written.

World: the files named. Taking in is one transaction, and the old file gets another name only afterwards: whenever that
is interrupted, the next start finds the one or the other and goes on.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker.ledger import chain, file, tables, vouched
from strongroom.broker.ledger.chain import Head
from strongroom.broker.ledger.faults import LedgerNotEmpty
from strongroom.broker.ledger.genesis import Genesis
from strongroom.broker.ledger.tables import End, Seal
from strongroom.broker.store import Store, Tx
from strongroom.pki import disk

IMPORTED_SUFFIX: Final = ".imported"


def take_in(store: Store, signer: Ed25519PrivateKey, path: Path) -> int:
    """Take an old ledger's file into an empty store and rename it; return how many lines were taken, 0 for none.

    To be called before the Ledger of this store is made. Raises LedgerNotEmpty where the store holds another ledger,
    the fault of a file that does not hold, LedgerInUse while an old broker writes to it, or OSError.
    """
    if not path.exists():
        _set_aside(file.head_path(path))  # left behind where a start was interrupted
        return 0
    with file.only_writer(path):
        head = file.verify(path).head
        taken = store.write(lambda tx: _take(tx, signer, path, head))
        _set_aside(path)  # first: without its head it would not be trusted any more
        _set_aside(file.head_path(path))
    return taken


def _take(tx: Tx, signer: Ed25519PrivateKey, path: Path, head: Head) -> int:
    found = tables.read_end(tx)
    if found is not None:
        line = tables.line(tx, head.seq)
        if line is not None and chain.digest(line) == head.digest:
            return 0  # it was taken in before, and the start was interrupted
        raise LedgerNotEmpty(f"the store holds another ledger than {path}")
    end, origin, last = End.empty(), "", b""
    for last in file.lines(path):
        origin = origin or Genesis.read(last).origin
        end.add(tx, last, Head(end.head.seq + 1, chain.digest(last)))
    end.move_on(max(tx.now_ms, _time_of(last)))
    tables.add_root(tx, end, origin, signer)
    end.vouched = vouched.first_digests(tx)
    tables.write_end(tx, end, Seal(signer).over(end))
    return head.seq + 1


def _time_of(line: bytes) -> int:
    """Return the time of an old line in milliseconds; 0 for one that does not say it as a broker does."""
    try:
        return int(datetime.fromisoformat(str(chain.read_line(line, seq=0)["time"])).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0


def _set_aside(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.rename(path.with_name(path.name + IMPORTED_SUFFIX))
        disk.sync_folder(path.parent)


def export(lines: Iterable[bytes], path: Path) -> int:
    """Write lines to the new file `path`, private to its owner; return how many. Raises AlreadyThere or OSError."""
    count = 0
    with _new_private(path) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as target:
        for line in lines:
            target.write(line + b"\n")
            count += 1
        target.flush()
        os.fsync(descriptor)
    return count


@contextlib.contextmanager
def _new_private(path: Path) -> Iterator[int]:
    """Lend a file beside `path` that becomes `path` at the end, whole, or is removed."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(draft, flags, disk.SECRET_MODE)
    try:
        yield descriptor
        disk.move_new(draft, path)
    finally:
        os.close(descriptor)
        draft.unlink(missing_ok=True)
