"""Notice at the start that somebody put an old copy of the store back (threat SA-12).

World: the file beside the store that remembers the newest signed root, and, better, a witness's file kept by somebody
else: who can roll back both store and file is seen only by the witness.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom.broker.ledger.checkpoint import MAX_CHECKPOINT_BYTES, SignedCheckpoint
from strongroom.broker.ledger.faults import CheckpointBad
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.store import Store
from strongroom.pki import disk

HEAD_SUFFIX: Final = ".head"
_log = logging.getLogger("strongroom.broker")


def head_file_beside(database: Path) -> Path:
    """Return where the newest signed root of a store in this file is remembered."""
    return database.with_name(database.name + HEAD_SUFFIX)


def check_not_rolled_back(
    ledger: Ledger, store: Store, *, witnesses: Sequence[Path] = (), witness_keys: Sequence[Ed25519PublicKey] = ()
) -> None:
    """Compare the ledger with every checkpoint that is remembered; to be called once, before anything is released.

    `witnesses`: files that `strongroom ledger witness` wrote. With `witness_keys`, each of them has to be cosigned by
    one of these. A missing file beside the store is written anew, and the ledger says so. Raises LedgerRolledBack,
    LedgerRewritten, CheckpointBad, or OSError for a witness's file that cannot be read.
    """
    for path in witnesses:
        seen = read_checkpoint(path)
        if witness_keys and not any(seen.cosigned_at(key) is not None for key in witness_keys):
            raise CheckpointBad(f"{path} carries no signature of a witness whom this broker knows")
        ledger.check_holds(seen, where=str(path))
    if ledger.head_file is None:
        return
    if (remembered := ledger.remembered()) is not None:
        ledger.check_holds(remembered, where=str(ledger.head_file))
        return
    if ledger.has_just_begun():
        ledger.sign_root()  # signed already, and now remembered
        return
    problem = f"{ledger.head_file.name} was missing: whether this store is the newest cannot be told"
    _log.error("LEDGER: %s", problem)
    store.write(lambda tx: ledger.append(tx, {"kind": "repair", "problem": problem}))
    ledger.sign_root()


def read_checkpoint(path: Path) -> SignedCheckpoint:
    """Read a checkpoint's file. Raises CheckpointBad, FileTooLong or OSError."""
    try:
        return SignedCheckpoint.parse(disk.read_bounded(path, limit=MAX_CHECKPOINT_BYTES))
    except CheckpointBad as problem:
        raise CheckpointBad(f"{path}: {problem.sentence}") from None
