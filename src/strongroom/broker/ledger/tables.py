"""The ledger's tables: the lines, the one row that says where they end, the signed roots.

Every function works in the caller's transaction. The row of the end is sealed with a key that only the broker has: who
writes to the database cannot move the end, not even behind the last signed root.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from strongroom.broker.ledger import chain
from strongroom.broker.ledger.audit import ROOT_KIND
from strongroom.broker.ledger.chain import Head
from strongroom.broker.ledger.checkpoint import Checkpoint, NoteSignature, SignedCheckpoint, key_id, sign
from strongroom.broker.ledger.faults import HeadChanged
from strongroom.broker.ledger.merkle import EMPTY_ROOT, Frontier, leaf_hash
from strongroom.broker.store import Row, Store, Tx, as_bytes

BATCH: Final = 500
_SEAL_PURPOSE: Final = b"strongroom ledger head v1"
_ROW_PURPOSE: Final = b"strongroom row v1\0"  # the text of an end begins with a number
END_MEMO: Final = "ledger"  # where a transaction remembers the end that it moves
_END: Final = ("seq", "digest", "time_ms", "frontier", "root_size", "root", "vouched")
_UPDATE: Final = f"UPDATE ledger_head SET {' = ?, '.join(_END)} = ?, seal = ? WHERE id = 1 RETURNING id"  # noqa: S608
_INSERT: Final = f"INSERT INTO ledger_head (id, {', '.join(_END)}, seal) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608


@dataclass(slots=True)
class End:
    """Where the ledger ends, as it grows within one transaction.

    `time_ms` is the time of its lines, `root` the newest signed one, over `root_size` lines; `vouched`: digests of
    other tables of the store, which the seal of the end is over as well (module `vouched`).
    """

    head: Head
    time_ms: int
    tree: Frontier
    root_size: int = 0
    root: bytes = EMPTY_ROOT
    vouched: bytes = b""
    time: str = ""

    @classmethod
    def empty(cls) -> End:
        """Return the end of a ledger that has no line."""
        return cls(chain.EMPTY, 0, Frontier())

    def add(self, tx: Tx, line: bytes, head: Head) -> None:
        """Put a line (without its newline) behind the last one."""
        tx.execute("INSERT INTO ledger_lines (seq, line) VALUES (?, ?)", (head.seq, line))
        self.head, self.tree = head, self.tree.grown(leaf_hash(line))

    def move_on(self, now_ms: int) -> None:
        """Let the next lines be of this time; times never go back."""
        self.time_ms = max(self.time_ms, now_ms)
        self.time = chain.timestamp_ms(self.time_ms)

    def sealed_text(self) -> bytes:
        """Return what the seal is over."""
        places = f"{self.head.seq} {self.head.digest} {self.time_ms} {self.root_size} "
        return places.encode() + self.root + self.tree.to_bytes() + self.vouched


class Seal:
    """What vouches for the row of the end: a keyed hash, its key derived from the ledger's signing key."""

    def __init__(self, signer: Ed25519PrivateKey) -> None:
        self._key = hmac.digest(signer.private_bytes_raw(), _SEAL_PURPOSE, "sha256")

    def over(self, end: End) -> bytes:
        """Return the seal of this end."""
        return hmac.digest(self._key, end.sealed_text(), "sha256")

    def of_words(self, *words: str | int) -> str:
        """Return the seal (hex) of a row elsewhere in the store: whoever writes there cannot make one."""
        parts = [str(word).encode("utf-8", "replace") for word in words]
        text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._key, _ROW_PURPOSE + text, "sha256").hex()

    def check(self, end: End, seal: bytes) -> None:
        """Raise HeadChanged if the end is not one that the broker wrote."""
        if not hmac.compare_digest(self.over(end), seal):
            raise HeadChanged("the remembered end of the ledger is not what the broker wrote: somebody changed it")


def read_end(tx: Tx) -> tuple[End, bytes] | None:
    """Return the end and its seal; None in a store without a ledger. Raises HeadChanged."""
    rows = tx.execute(f"SELECT {', '.join(_END)}, seal FROM ledger_head WHERE id = 1")  # noqa: S608  # constants
    if not rows:
        return None
    seq, digest, time_ms, frontier, root_size, root, vouched, seal = rows[0]
    frontier, root = as_bytes(frontier), as_bytes(root)
    tree = Frontier.from_bytes(seq + 1, frontier) if isinstance(seq, int) and seq >= 0 else None
    if tree is None or not isinstance(digest, str) or len(digest) != len(chain.GENESIS_PREV):
        raise HeadChanged("the remembered end of the ledger cannot be read")
    return End(Head(seq, digest), time_ms, tree, root_size, root, as_bytes(vouched)), as_bytes(seal)


def sealed_end(tx: Tx, seal: Seal) -> End:
    """Return the end once its seal holds. Raises HeadChanged."""
    found = read_end(tx)
    if found is None:
        raise HeadChanged("the remembered end of the ledger is gone")
    seal.check(*found)
    return found[0]


def write_end(tx: Tx, end: End, seal: bytes) -> None:
    """Remember where the ledger ends now."""
    values = (end.head.seq, end.head.digest, end.time_ms, end.tree.to_bytes(), end.root_size, end.root,
              end.vouched, seal)  # fmt: skip
    if not tx.execute(_UPDATE, values):
        tx.execute(_INSERT, values)


def line(tx: Tx, seq: int) -> bytes | None:
    """Return one line, without its newline."""
    rows = tx.execute("SELECT line FROM ledger_lines WHERE seq = ?", (seq,))
    return as_bytes(rows[0][0]) if rows else None


def last_number(tx: Tx) -> int:
    """Return the highest number that a line is kept under; -1 if there is none."""
    rows = tx.execute("SELECT MAX(seq) FROM ledger_lines")
    return -1 if rows[0][0] is None else int(rows[0][0])


def numbered_lines(store: Store, *, first: int = 0, last: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield lines with the numbers that they are kept under, in that order; `last` is the last one wanted."""
    after = first - 1
    limit = last if last is not None else (1 << 62)
    while True:
        rows = store.read(
            lambda tx, after=after: tx.execute(  # type: ignore[misc]  # mypy cannot infer a default's lambda
                "SELECT seq, line FROM ledger_lines WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                (after, limit, BATCH),
            )
        )
        for seq, text in rows:
            yield int(seq), as_bytes(text)
        if len(rows) < BATCH:
            return
        after = int(rows[-1][0])


def write_root(tx: Tx, signed: SignedCheckpoint, key: Ed25519PublicKey) -> None:
    """Keep a signed root."""
    point = signed.checkpoint
    tx.execute(
        "INSERT INTO ledger_roots (size, time_ms, root, signature, key_id) VALUES (?, ?, ?, ?, ?)",
        (point.size, point.time_ms, point.root, signed.signatures[0].blob, key_id(key)),
    )


def add_root(tx: Tx, end: End, origin: str, signer: Ed25519PrivateKey) -> SignedCheckpoint:
    """Sign the root over every line so far, as a line of its own and in the table of roots."""
    size = end.tree.size
    signed = sign(Checkpoint(origin, size, end.tree.root(), end.time_ms), signer)
    record = {"kind": ROOT_KIND, "size": size, "checkpoint": signed.to_text()}
    line, head = chain.write_line(end.head, record, time=end.time)
    end.add(tx, line[:-1], head)
    end.root_size, end.root = size, signed.checkpoint.root
    write_root(tx, signed, signer.public_key())
    return signed


def last_root(tx: Tx, origin: str, *, size: int | None = None) -> SignedCheckpoint | None:
    """Return the newest signed root, or the one over `size` lines."""
    where = "" if size is None else "WHERE size = ? "
    rows = tx.execute(
        f"SELECT size, root, time_ms, signature FROM ledger_roots {where}ORDER BY size DESC LIMIT 1",  # noqa: S608
        () if size is None else (size,),
    )
    return _signed(origin, rows[0]) if rows else None


def count_roots(tx: Tx) -> int:
    """Return how many signed roots there are."""
    return int(tx.execute("SELECT COUNT(*) FROM ledger_roots")[0][0])


def signed_roots(store: Store, origin: str, *, below: int) -> Iterator[SignedCheckpoint]:
    """Yield the signed roots over at most `below` lines, the oldest first."""
    after = -1
    while True:
        rows = store.read(
            lambda tx, after=after: tx.execute(  # type: ignore[misc]  # mypy cannot infer a default's lambda
                "SELECT size, root, time_ms, signature FROM ledger_roots WHERE size > ? AND size <= ? "
                "ORDER BY size LIMIT ?",
                (after, below, BATCH),
            )
        )
        yield from (_signed(origin, row) for row in rows)
        if len(rows) < BATCH:
            return
        after = int(rows[-1][0])


def _signed(origin: str, row: Row) -> SignedCheckpoint:
    size, root, time_ms, blob = row
    time_ms = time_ms if isinstance(time_ms, int) else -1  # in SQLite somebody may have put anything there
    return SignedCheckpoint(
        Checkpoint(origin, int(size), as_bytes(root), time_ms), (NoteSignature(origin, as_bytes(blob)),)
    )
