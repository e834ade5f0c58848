"""Verify the ledger of a store, with or without the key that seals its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from strongroom.broker.ledger import chain, tables
from strongroom.broker.ledger.audit import Verified, audit
from strongroom.broker.ledger.chain import Head
from strongroom.broker.ledger.checkpoint import Checkpoint
from strongroom.broker.ledger.faults import HeadChanged, LedgerTruncated, LineRemoved, RootChanged
from strongroom.broker.ledger.genesis import Genesis
from strongroom.broker.ledger.tables import End, Seal
from strongroom.broker.store import Store, Tx
from strongroom.broker.store.opening import open_store

Progress = Callable[[int, int], None]  # lines done, lines in all
_NONE: Final = "the store holds no ledger"


def verify_store(
    store: Store, *, signer: Ed25519PrivateKey | None = None, keys: Sequence[Ed25519PublicKey] = (),
    checkpoints: Sequence[Checkpoint] = (), remembered: Sequence[Head] = (), progress: Progress | None = None,
) -> Verified:  # fmt: skip
    """Check the whole ledger of a store against its end, its signed roots and what is remembered elsewhere.

    `signer`: the ledger's key; without it the seal of the end is not checked, and signatures by `keys` alone. A broker
    may be writing meanwhile: lines that came later are not looked at. Raises the fault of what does not hold.
    """
    end = store.read(lambda tx: _settled_end(tx, Seal(signer) if signer else None))
    everybody = (*keys, *([signer.public_key()] if signer else []))
    origin = store.read(lambda tx: genesis_of(tx).origin)
    found = audit(
        stored_lines(store, last=end.head.seq),
        keys=everybody,
        kept=tables.signed_roots(store, origin, below=end.head.seq),
        checkpoints=checkpoints,
        remembered=(end.head, *remembered),
        progress=(lambda done: progress(done, end.tree.size)) if progress else None,
    )
    if found.root != end.tree.root():
        raise HeadChanged("the remembered Merkle tree is not that of the lines")
    if not found.roots:
        raise RootChanged("no root of this ledger was ever signed, though a broker signs the first at once")
    return found


def _settled_end(tx: Tx, seal: Seal | None) -> End:
    """Return the end if the lines reach it, and no further, in one snapshot."""
    found = tables.read_end(tx)
    if found is None:
        raise HeadChanged("the remembered end of the ledger is gone" if tables.last_number(tx) >= 0 else _NONE)
    end, sealed = found
    if seal is not None:
        seal.check(end, sealed)
    if (last := tables.last_number(tx)) < 0:
        raise LedgerTruncated(f"the ledger holds no line any more, but line {end.head.seq} was written")
    if last > end.head.seq:
        raise HeadChanged(f"lines stand behind line {end.head.seq}, which is remembered as the last")
    return end


def genesis_of(tx: Tx) -> Genesis:
    """Return what the first line says. Raises LineRemoved where it is gone, or LedgerBroken."""
    first = tables.line(tx, 0)
    if first is None:
        raise LineRemoved("line 0, with which the ledger begins, is not there: lines were removed")
    return Genesis.read(first)


def stored_lines(store: Store, *, last: int | None = None) -> Iterator[bytes]:
    """Yield the lines in the order of the numbers that they are kept under; whether these are right the chain tells."""
    return (line for _, line in tables.numbered_lines(store, last=last))


def entries_in(database: Path) -> list[dict[str, Any]]:
    """Return the entries of a local store, unjudged; nothing where there is no such file. Raises LedgerBroken."""
    if not database.exists():
        return []
    with closing(open_store(database)) as store:
        return [chain.read_line(line, seq=seq) for seq, line in enumerate(stored_lines(store))]
