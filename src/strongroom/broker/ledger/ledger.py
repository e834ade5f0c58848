"""The ledger in the store: what is written, admitted and remembered is one transaction with its line (threat SA-11).

Lines are chained, and the leaves of a Merkle tree whose root the broker signs from time to time. Platform identities
are written as keyed hashes (threat PL-07), secrets only by name. Threads and brokers may share it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from strongroom.broker.clock import ClockGuard, since_boot, utc_now
from strongroom.broker.ledger import chain, genesis, merkle, tables, vouched
from strongroom.broker.ledger.audit import Verified
from strongroom.broker.ledger.chain import Head
from strongroom.broker.ledger.checkpoint import MAX_CHECKPOINT_BYTES, SignedCheckpoint, key_id
from strongroom.broker.ledger.faults import (
    CheckpointBad,
    HeadChanged,
    LedgerRewritten,
    LedgerRolledBack,
    LedgerTruncated,
    LineChanged,
    RootChanged,
)
from strongroom.broker.ledger.genesis import Genesis
from strongroom.broker.ledger.reading import Progress, genesis_of, verify_store
from strongroom.broker.ledger.tables import END_MEMO, End, Seal
from strongroom.broker.store import Store, Tx
from strongroom.pki import disk

ROOT_EVERY_LINES: Final = 1000
ROOT_EVERY_MS: Final = 60_000
_log = logging.getLogger("strongroom.broker")


@dataclass(frozen=True, slots=True)
class Root:
    """The Merkle root over the first `size` lines."""

    size: int
    digest: bytes


class Ledger:
    """The one ledger of a store. Raises HeadChanged, LineChanged or LedgerTruncated if its end does not hold.

    `signer`: the ledger's own key. `head_file`: where the newest signed root is remembered outside the store; a store
    without a ledger is then refused as rolled back if that remembers one.
    """

    def __init__(self, store: Store, signer: Ed25519PrivateKey, *, head_file: Path | None = None) -> None:
        self._store = store
        self._signer = signer
        self._seal = Seal(signer)
        self.head_file = head_file
        self._memory_checked = False
        self._watch: ClockGuard | None = None
        self._guard: ClockGuard | None = None  # where it is also what the ledger's times come from
        self.public_key: Ed25519PublicKey = signer.public_key()
        self.key_id = key_id(self.public_key)
        self.genesis, begun = store.write(self._open)
        if begun is not None:
            self._remember(begun)

    @property
    def origin(self) -> str:
        """The ledger's name in its checkpoints: it follows from the first line."""
        return self.genesis.origin

    def hashed_platform(self, platform_id: bytes) -> str:
        """Return the name a platform (its PPID) has in this ledger: keyed, so that two ledgers cannot be joined."""
        return self.genesis.platform(platform_id)

    def seal_of(self, *words: str | int) -> str:
        """Return the seal (hex) of a row that somebody is believed by, such as a login: only a broker can make it."""
        return self._seal.of_words(*words)

    def append(self, tx: Tx, record: Mapping[str, object], *, durable: bool = True) -> int:  # noqa: ARG002  # always
        """Put `record` behind the last line, in the caller's transaction, and return the line's number.

        Raises HeadChanged, before the first change, if somebody moved the end in the database.
        """
        end: End = tx.memo.get(END_MEMO) or self._resume(tx)
        line, head = chain.write_line(end.head, record, time=end.time)
        end.add(tx, line[:-1], head)
        return head.seq

    def _resume(self, tx: Tx) -> End:
        """Return the end for this transaction, written back once before its commit; times never go back."""
        return self._grow(tx, tables.sealed_end(tx, self._seal))

    def _grow(self, tx: Tx, end: End) -> End:
        end.move_on(tx.now_ms if self._guard is None else self._guard.plausible_ms(tx.now_ms))
        tx.memo[END_MEMO] = end
        tx.before_commit(END_MEMO, lambda: tables.write_end(tx, end, self._seal.over(end)))
        return end

    def _open(self, tx: Tx) -> tuple[Genesis, SignedCheckpoint | None]:
        """Begin a ledger where there is none; else check that the last line is where the end says."""
        found = tables.read_end(tx)
        number = tables.last_number(tx)
        if found is None:
            if number >= 0:
                raise HeadChanged("the store holds lines of a ledger, but its remembered end is gone")
            return self._begin(tx)
        end, seal = found
        self._seal.check(end, seal)
        if number < end.head.seq:
            raise LedgerTruncated(f"the ledger ends at line {number}, but line {end.head.seq} was written")
        last = tables.line(tx, end.head.seq)
        if number > end.head.seq or last is None or chain.digest(last) != end.head.digest:
            raise LineChanged(f"ledger line {number} is not the one that was remembered as the last")
        return genesis_of(tx), None

    def _begin(self, tx: Tx) -> tuple[Genesis, SignedCheckpoint]:
        if self.head_file is not None and self.head_file.exists():
            raise LedgerRolledBack(f"the store holds no ledger, but {self.head_file} remembers one")
        self._grow(tx, End.empty()).vouched = vouched.first_digests(tx)
        self.append(tx, genesis.record(os.urandom(genesis.SALT_BYTES)))
        begun = genesis_of(tx)
        return begun, self._sign(tx, begun.origin)

    def sign_root(self, *, covering: int = 0) -> SignedCheckpoint:
        """Sign the root over every line there is; where there is nothing new, return the newest one signed.

        `covering`: so many lines it has to be over, also where the last of them is the newest root's own.
        """
        self._check_memory()
        signed = self._store.write(lambda tx: self._sign(tx, self.origin, covering))
        self._remember(signed)
        return signed

    def clock_guard(
        self, clock: Callable[[], datetime] = utc_now, monotonic: Callable[[], float] = since_boot
    ) -> ClockGuard:
        """Return the guard of this machine's clock: `maintain` tells the ledger what it finds (threat SA-15).

        In a store of one machine the ledger's times come from it, too, so that a jump does not reach them.
        """
        guard = ClockGuard(clock, monotonic, not_before_ms=self._end().time_ms)
        self._watch, self._guard = guard, None if self._store.shared else guard
        return guard

    def maintain(self) -> SignedCheckpoint | None:
        """Compare the clocks, and sign a root if it is time: to be called every few seconds, by each broker.

        Returns what was signed. Raises StoreUnavailable, or the fault of a ledger whose end was changed.
        """
        if self._watch is not None:
            self._watch.observe(self._store.read(lambda tx: tx.now_ms))
            self._tell(self._watch)

        def due(tx: Tx) -> bool:
            last, found = tables.last_root(tx, self.origin), tables.read_end(tx)
            if found is None or last is None:
                return True
            new = found[0].head.seq - found[0].root_size  # the root's own line does not count
            return new >= ROOT_EVERY_LINES or (new > 0 and tx.now_ms - last.checkpoint.time_ms >= ROOT_EVERY_MS)

        if not self._store.read(due):
            return None
        self._check_memory()
        signed = self._store.write(lambda tx: self._sign(tx, self.origin) if due(tx) else None)
        if signed is not None:
            self._remember(signed)
        return signed

    def _tell(self, guard: ClockGuard) -> None:
        """Write what became of the clock, once."""
        if news := guard.news:
            self._store.write(lambda tx: [self.append(tx, record) for record in news])
            guard.told(len(news))
            for record in news:
                _log.error("CLOCK %s: %s", record["state"], record["problem"])

    def _sign(self, tx: Tx, origin: str, covering: int = 0) -> SignedCheckpoint:
        end: End = tx.memo.get(END_MEMO) or self._resume(tx)
        if end.root_size and end.root_size == end.head.seq >= covering:
            last = tables.last_root(tx, origin)
            if last is None or last.checkpoint.root != end.root or not last.is_signed_by(self.public_key):
                raise RootChanged("the newest signed root is missing, or is not the one that the broker signed")
            return last
        return tables.add_root(tx, end, origin, self._signer)

    def check_holds(self, seen: SignedCheckpoint, *, where: str) -> None:
        """Check that the ledger begins with the lines of a checkpoint seen before, which `where` remembers.

        Raises LedgerRolledBack, LedgerRewritten for another ledger, or CheckpointBad for another key.
        """
        point = seen.checkpoint
        if point.origin != self.origin:
            raise LedgerRewritten(f"{where} remembers another ledger than the one in the store")
        if not seen.is_signed_by(self.public_key):
            raise CheckpointBad(f"the checkpoint in {where} is not signed by this ledger's key")
        end = self._end()
        if end.tree.size < point.size:
            raise LedgerRolledBack(f"the ledger has {end.tree.size} lines, but {where} remembers {point}")
        if (end.root_size, end.root) != (point.size, point.root) and self._walked(point.size, end) != point.root:
            raise LedgerRolledBack(
                f"the first {point.size} lines are not those that {where} remembers: an old copy was put back and used"
            )

    def _walked(self, size: int, end: End) -> bytes:
        """Return the root over the first `size` lines, from the lines alone, which have to be those up to the end."""
        tree, found = merkle.Frontier(), b""
        for _, line in tables.numbered_lines(self._store, last=end.head.seq):
            tree = tree.grown(merkle.leaf_hash(line))
            found = tree.root() if tree.size == size else found
        if tree != end.tree:
            raise LineChanged(
                "the lines of the ledger are not those that lead to its end; strongroom ledger verify says more"
            )
        return found

    def has_just_begun(self) -> bool:
        """Return whether nothing was written since the first root: the ledger is new, or was only just taken in."""
        end = self._end()
        return end.root_size == end.head.seq and self._store.read(tables.count_roots) == 1

    def remembered(self) -> SignedCheckpoint | None:
        """Return the signed root that is remembered beside the store. Raises CheckpointBad or OSError."""
        if self.head_file is None or not self.head_file.exists():
            return None
        return SignedCheckpoint.parse(disk.read_bounded(self.head_file, limit=MAX_CHECKPOINT_BYTES))

    def _check_memory(self) -> None:
        """Compare the store with what is remembered beside it once, before that is written over."""
        if self._memory_checked:
            return
        seen = self.remembered()
        if seen is not None:
            self.check_holds(seen, where=str(self.head_file))
        self._memory_checked = True

    def _remember(self, signed: SignedCheckpoint) -> None:
        if self.head_file is None:
            return
        try:
            disk.replace_private(self.head_file, signed.to_text().encode())
        except OSError as problem:
            _log.error("the newest signed root could not be remembered: %s: %s", self.head_file, problem.strerror)

    def entries(self, after: int = -1, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the entries behind line `after`, at most `limit`, without judging the chain."""
        for seq, line in self.lines(after, limit):
            yield chain.read_line(line, seq=seq)

    def lines(self, after: int = -1, limit: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield numbers and lines (without newlines) behind line `after`, at most `limit`."""
        last = None if limit is None else after + limit
        return tables.numbered_lines(self._store, first=after + 1, last=last)

    def head(self) -> Head:
        """Return the end of the chain. Raises HeadChanged."""
        return self._end().head

    def root(self) -> Root:
        """Return the root over every line there is; it is not signed. Raises HeadChanged."""
        end = self._end()
        return Root(end.tree.size, end.tree.root())

    def root_at(self, size: int) -> bytes:
        """Return the root over the first `size` lines; from the lines themselves where none of that size was signed."""
        kept = self._store.read(lambda tx: tables.last_root(tx, self.origin, size=size))
        if kept is not None and kept.is_signed_by(self.public_key):
            return kept.checkpoint.root
        return self._range_root(0, size)

    def last_root(self) -> SignedCheckpoint | None:
        """Return the newest signed root."""
        return self._store.read(lambda tx: tables.last_root(tx, self.origin))

    def _end(self) -> End:
        return self._store.read(lambda tx: tables.sealed_end(tx, self._seal))

    def verify(self, progress: Progress | None = None) -> Verified:
        """Check every line, root and signature. Raises the fault of the first thing that does not hold.

        `progress` gets the lines done and the lines in all, now and then.
        """
        return verify_store(self._store, signer=self._signer, progress=progress)

    def prove_inclusion(self, seq: int, size: int) -> merkle.Proof:
        """Return the proof that line `seq` is among the first `size` lines. Raises ValueError if it cannot be."""
        return merkle.prove(merkle.inclusion_ranges(seq, size), self._range_root)

    def prove_consistency(self, old: int, new: int) -> merkle.Proof:
        """Return the proof that the first `new` lines begin with the first `old`. Raises ValueError."""
        return merkle.prove(merkle.consistency_ranges(old, new), self._range_root)

    def _range_root(self, low: int, high: int) -> bytes:
        found = tables.numbered_lines(self._store, first=low, last=high - 1)
        return merkle.root_of(merkle.leaf_hash(line) for _, line in found)
