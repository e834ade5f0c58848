"""Walk a whole ledger and say what it comes to: chain, times, Merkle roots, signatures, remembered checkpoints.

Pure: lines come from a store, an export or an old file; whoever remembers something of the ledger hands it in. Every
way to tamper with lines has a fault of its own (threats SA-10, SA-14).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom.broker.ledger import chain
from strongroom.broker.ledger.chain import EMPTY, Head
from strongroom.broker.ledger.checkpoint import Checkpoint, SignedCheckpoint
from strongroom.broker.ledger.faults import (
    CheckpointBad,
    LedgerForked,
    LedgerRewritten,
    LedgerTruncated,
    LineChanged,
    RootChanged,
)
from strongroom.broker.ledger.genesis import Genesis
from strongroom.broker.ledger.merkle import Frontier, leaf_hash

ROOT_KIND: Final = "root"
Progress = Callable[[int], None]
_EVERY: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a whole walk found in order. `roots`: how many signed roots hold; `checked`: whether a key was at hand."""

    origin: str
    head: Head
    root: bytes
    roots: int
    checked: bool
    last: SignedCheckpoint | None

    @property
    def size(self) -> int:
        """How many lines there are."""
        return self.head.seq + 1


def audit(
    lines: Iterable[bytes], *, keys: Sequence[Ed25519PublicKey] = (), kept: Iterable[SignedCheckpoint] | None = None,
    checkpoints: Sequence[Checkpoint] = (), remembered: Sequence[Head] = (), progress: Progress | None = None,
) -> Verified:  # fmt: skip
    """Check every line and return what the ledger is. Raises the fault of the first thing that does not hold.

    `keys`: any of them may have signed a root; without one, signatures are not checked. `kept`: the roots that stand
    beside the lines, the oldest first. `checkpoints`, `remembered`: what was seen of this ledger before.
    """
    walk = _Audit(keys, None if kept is None else iter(kept), checkpoints)
    for head, line, entry in chain.walk(lines):
        for known in remembered:
            chain.check_against(head, known)
        walk.take(head, line, entry)
        if progress is not None and head.seq % _EVERY == 0:
            progress(head.seq)
    walk.end(remembered)
    return walk.verified()


class _Audit:
    """The state of one walk."""

    def __init__(
        self, keys: Sequence[Ed25519PublicKey], kept: Iterator[SignedCheckpoint] | None, wanted: Sequence[Checkpoint]
    ) -> None:
        self._keys = keys
        self._kept = kept
        self._wanted = sorted(wanted, key=lambda each: each.size, reverse=True)
        self._head = EMPTY
        self._tree = Frontier()
        self._genesis: Genesis | None = None
        self._roots = 0
        self._last: SignedCheckpoint | None = None
        self._time = ""

    def take(self, head: Head, line: bytes, entry: dict[str, Any]) -> None:
        if self._genesis is None:
            self._genesis = Genesis.read(line)
        if entry["kind"] == ROOT_KIND:
            self._take_root(head.seq, entry)
        if self._last is not None:  # lines of an old file came from threads that looked at the clock on their own
            if not isinstance(entry["time"], str) or entry["time"] < self._time:
                raise LineChanged(f"ledger line {head.seq} is older than the line before it")
            self._time = entry["time"]
        self._head, self._tree = head, self._tree.grown(leaf_hash(line))
        self._compare()

    def _take_root(self, seq: int, entry: dict[str, Any]) -> None:
        """Check a signed root against the lines before it, its signature, and the copy kept beside the lines."""
        try:
            signed = SignedCheckpoint.parse(str(entry.get("checkpoint")))
        except CheckpointBad as problem:
            raise RootChanged(f"the signed root in line {seq} cannot be read: {problem.sentence}") from None
        if signed.checkpoint.size != seq or entry.get("size") != seq:
            raise RootChanged(f"the signed root in line {seq} is not over the {seq} lines before it")
        if self._keys and not any(signed.is_signed_by(key) for key in self._keys):
            raise RootChanged(f"the root in line {seq} is not signed by this ledger's key")
        self._hold(signed.checkpoint)
        if self._kept is not None:
            self._match(signed, next(self._kept, None))
        self._last = signed
        self._roots += 1

    def _match(self, signed: SignedCheckpoint, kept: SignedCheckpoint | None) -> None:
        if kept is None or kept.checkpoint.size != signed.checkpoint.size:
            size = signed.checkpoint.size
            raise RootChanged(f"the table of signed roots lacks the one over {size} lines, or holds one more before it")
        if kept != signed:
            raise RootChanged(f"the root over {kept.checkpoint.size} lines in the table is not the one in the lines")

    def _hold(self, point: Checkpoint) -> None:
        """Raise LedgerRewritten if the lines so far are not those of a checkpoint over as many."""
        if self._genesis is None or point.origin != self._genesis.origin:
            raise LedgerRewritten("this is another ledger than the one whose root was signed: its first line differs")
        if point.root != self._tree.root():
            at = chain.timestamp_ms(point.time_ms)
            raise LedgerRewritten(f"the first {point.size} lines are not those whose root was signed at {at}")

    def _compare(self) -> None:
        while self._wanted and self._wanted[-1].size == self._tree.size:
            self._hold(self._wanted.pop())

    def end(self, remembered: Sequence[Head]) -> None:
        """Check that nothing is missing behind the last line."""
        written = max((known.seq for known in remembered), default=-1)
        if written > self._head.seq:
            raise LedgerTruncated(f"the ledger ends at line {self._head.seq}, but line {written} was written")
        if self._wanted:
            raise LedgerTruncated(
                f"the ledger ends at line {self._head.seq}, but {self._wanted[0].size} lines were there before: "
                "lines were cut off, or an older copy was put back"
            )
        if self._kept is not None and (more := next(self._kept, None)) is not None:
            raise RootChanged(f"the table holds a root over {more.checkpoint.size} lines that no line speaks of")

    def verified(self) -> Verified:
        if self._genesis is None:
            raise LedgerTruncated("the ledger holds no line, not even its first")
        return Verified(
            origin=self._genesis.origin, head=self._head, root=self._tree.root(), roots=self._roots,
            checked=bool(self._keys), last=self._last,
        )  # fmt: skip


def check_same(one: Iterable[bytes], other: Iterable[bytes]) -> int:
    """Return how many lines two copies share, one of which goes on behind the other. Raises LedgerForked."""
    first, second = iter(one), iter(other)
    count = 0
    for line in first:
        twin = next(second, None)
        if twin is None:
            return count
        if line != twin:
            raise LedgerForked(f"the copies part at line {count}: each goes on with a line of its own")
        count += 1
    return count
