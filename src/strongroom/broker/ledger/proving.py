"""Make proofs about lines of a store's ledger, for outsiders."""

from __future__ import annotations

from strongroom.broker.ledger import chain
from strongroom.broker.ledger.checkpoint import SignedCheckpoint
from strongroom.broker.ledger.faults import NoSuchLine
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.ledger.proofs import LedgerProof


def prove_line(ledger: Ledger, seq: int, *, older: SignedCheckpoint | None = None) -> LedgerProof:
    """Return the proof that line `seq` is in the ledger, under the newest signed root; a new one if it is behind that.

    `older`: a checkpoint that the reader has from before; the proof shows that the ledger only grew since. Raises
    NoSuchLine, or what `Ledger.check_holds` raises for a checkpoint that this ledger does not continue.
    """
    found = next(ledger.lines(seq - 1, 1), None) if seq >= 0 else None
    if found is None:
        raise NoSuchLine(f"the ledger has no line {seq}")
    if older is not None:
        ledger.check_holds(older, where="the older checkpoint")
    signed = ledger.last_root()
    if signed is None or signed.checkpoint.size <= seq or (older and older.checkpoint.size > signed.checkpoint.size):
        signed = ledger.sign_root(covering=seq + 1)
    size = signed.checkpoint.size
    return LedgerProof(
        line=found[1],
        seq=seq,
        inclusion=ledger.prove_inclusion(seq, size),
        checkpoint=signed,
        key=ledger.key_id,
        older=older,
        consistency=ledger.prove_consistency(older.checkpoint.size, size) if older else (),
    )


def line_of_case(ledger: Ledger, case: str) -> int:
    """Return the number of the last decision on a case. Raises NoSuchLine."""
    word, last = case.encode(), None
    for seq, line in ledger.lines():
        if word in line:
            entry = chain.read_line(line, seq=seq)
            if entry.get("id") == case and entry["kind"] == "decision":
                last = seq
    if last is None:
        raise NoSuchLine(f"the ledger has no decision on the case {case[:64]!r}")
    return last
