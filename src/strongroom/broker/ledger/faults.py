"""What can be wrong with a ledger, each in a sentence of its own. Pure."""

from __future__ import annotations

from strongroom.errors import BadInput, Tampered

_EVIDENCE = "Keep everything as it is: it is evidence. Find out who could write to the store, and restore a newer copy."


class LedgerBroken(Tampered):
    """A line of the ledger cannot be read as one, or a ledger does not begin as a ledger does."""

    code = "SR-LEDGER-BROKEN"
    fix = (
        "Keep it as evidence, find out who could write to it, and restore a newer copy or begin a new ledger beside it."
    )


class LineRemoved(LedgerBroken):
    """A line was taken out of the ledger."""

    code = "SR-LEDGER-REMOVED"
    fix = _EVIDENCE


class LineMoved(LedgerBroken):
    """Lines of the ledger stand in another order than they were written in, or one of them stands there twice."""

    code = "SR-LEDGER-REORDERED"
    fix = _EVIDENCE


class LineChanged(LedgerBroken):
    """A line of the ledger is not the one that was written."""

    code = "SR-LEDGER-EDITED"
    fix = _EVIDENCE


class LedgerTruncated(LedgerBroken):
    """Lines are missing at the end of the ledger."""

    code = "SR-LEDGER-TRUNCATED"
    fix = _EVIDENCE


class LedgerRewritten(LedgerBroken):
    """The ledger is whole in itself, but its lines are not those whose root was signed earlier."""

    code = "SR-LEDGER-REWRITTEN"
    fix = _EVIDENCE


class LedgerForked(LedgerBroken):
    """Two copies of the ledger begin alike and then say different things."""

    code = "SR-LEDGER-FORKED"
    fix = "Find out which copy the broker wrote: one of them was shown to somebody who should not see the other."


class HeadChanged(LedgerBroken):
    """The remembered end of the ledger is missing, or is not what the broker wrote."""

    code = "SR-LEDGER-HEAD"
    fix = _EVIDENCE


class RootChanged(LedgerBroken):
    """A signed root of the ledger is missing, changed, or signed by somebody else."""

    code = "SR-LEDGER-ROOT"
    fix = "Check that the key is this ledger's. If it is, somebody wrote to the store: keep it as evidence."


class LedgerRolledBack(LedgerBroken):
    """The store is older than one that was seen before: somebody put an old copy back."""

    code = "SR-LEDGER-ROLLED-BACK"
    fix = (
        "Restore the newest store. If an older backup was restored on purpose, move the remembered checkpoint away; "
        "the ledger will say so."
    )


class CheckpointBad(Tampered):
    """A checkpoint cannot be read, or nobody whom we know signed it."""

    code = "SR-LEDGER-CHECKPOINT"
    fix = "Give the checkpoint as strongroom wrote it, with the public key of the same ledger."


class ProofBad(Tampered):
    """A proof about the ledger cannot be read, or does not prove what it says."""

    code = "SR-LEDGER-PROOF"
    fix = "Ask for the proof again; if that does not hold either, the ledger was changed behind the signed root."


class LedgerNotEmpty(BadInput):
    """A ledger file cannot be taken into a store that holds another ledger."""

    code = "SR-LEDGER-NOT-EMPTY"
    fix = "Keep the old file beside the store for its time, or begin with an empty store."


class NoSuchLine(BadInput):
    """The ledger has no line of that number or case."""

    code = "SR-LEDGER-NO-LINE"
    fix = "Look the number or the case up with strongroom ledger show."
