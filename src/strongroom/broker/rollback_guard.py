"""Remember the highest evaluation number seen per platform family, for all brokers of a store (threat TCB-08).

A number is written when it is first seen, whether the evidence is then granted or denied: else new collateral under
which a platform is refused would leave no trace, and last month's would open the door again. Each admission looks once
more inside its transaction, since another broker may have seen a higher one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from strongroom.attestation import INTEL, Claims, Tee, TrustDomain, Verdict
from strongroom.attestation.rollback import MAX_STATE_BYTES, CollateralRollback, Family, SeenNumbers
from strongroom.broker.store import Store, Tx
from strongroom.errors import Unreachable
from strongroom.pki import disk

TAKEN_SUFFIX: Final = ".taken"
_log = logging.getLogger("strongroom.broker")


class RollbackStateUnwritable(Unreachable):
    """The file of evaluation numbers seen cannot be taken over into the store."""

    code = "SR-ROLLBACK-STATE-WRITE"
    fix = "Check that the folder of the ledger is writable, then start the broker again."


class RollbackGuard:
    """Refuses collateral older than was seen before. Threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._seen = SeenNumbers(MappingProxyType(store.read(seen_numbers)))

    def take_over(self, path: Path, *, ledger: Iterable[Mapping[str, Any]] = ()) -> None:
        """Bring what an earlier broker kept in a file into the store, once; where it is gone, what `ledger` tells.

        Raises RollbackStateBroken, RollbackStateUnwritable, or LoosePermissions for a file that others can reach.
        """
        if path.exists():
            disk.check_private(path)
            found = SeenNumbers.from_json(disk.read_bounded(path, limit=MAX_STATE_BYTES))
        elif self._seen.numbers or path.with_name(path.name + TAKEN_SUFFIX).exists():
            return
        else:
            found = seen_in(ledger)
            if found.numbers:
                _log.warning("%s is gone: the evaluation numbers seen were taken from the ledger", path)
        self._raise(found.numbers)
        if path.exists():
            try:
                path.rename(path.with_name(path.name + TAKEN_SUFFIX))
            except OSError as problem:
                raise RollbackStateUnwritable(f"{path}: {problem.strerror}") from None

    def knows(self, claims: Claims) -> bool:
        """Return whether `admit` would write nothing: the number, or one above it, was seen before."""
        try:
            return self._seen.admit(claims) is self._seen
        except CollateralRollback:
            return True

    def admit(self, subject: Verdict | Claims) -> None:
        """Take note of a number. Raises CollateralRollback, or StoreUnavailable where a new one cannot be kept."""
        with self._lock:
            seen = self._seen.admit(subject)
            if seen is self._seen:
                return
            self._raise({family: number for family, number in seen.numbers.items()
                         if self._seen.numbers.get(family) != number})  # fmt: skip
        self._seen.admit(subject)  # another broker may have seen a higher one

    def check(self, tx: Tx, claims: Claims) -> None:
        """Compare with what all brokers have seen by now. Raises CollateralRollback."""
        memo: dict[Family, int] | None = tx.memo.get(__name__)
        if memo is None:
            memo = tx.memo[__name__] = seen_numbers(tx)
        SeenNumbers(memo).admit(claims)

    def _raise(self, numbers: Mapping[Family, int]) -> None:
        self._seen = SeenNumbers(MappingProxyType(self._store.write(lambda tx: _raised(tx, numbers))))


def _raised(tx: Tx, numbers: Mapping[Family, int]) -> dict[Family, int]:
    """Write the numbers that are higher than those in the store; return what it holds then."""
    held = seen_numbers(tx)
    for family, number in numbers.items():
        if number <= held.get(family, -1):
            continue
        root, tee, fmspc = family
        tx.execute("DELETE FROM seen_numbers WHERE root_key_id = ? AND tee = ? AND fmspc = ?", (root, tee.value, fmspc))
        tx.execute(
            "INSERT INTO seen_numbers (root_key_id, tee, fmspc, number) VALUES (?, ?, ?, ?)",
            (root, tee.value, fmspc, number),
        )
        held[family] = number
    return held


def seen_numbers(tx: Tx) -> dict[Family, int]:
    """Return the highest numbers that any broker of this store has seen."""
    rows = tx.execute("SELECT root_key_id, tee, fmspc, number FROM seen_numbers")
    return {(root, Tee(tee), fmspc): int(number) for root, tee, fmspc, number in rows}


def seen_in(entries: Iterable[Mapping[str, Any]]) -> SeenNumbers:
    """Return the highest numbers that the decisions of a ledger rested on; what is no such decision is passed over."""
    numbers: dict[Family, int] = {}
    for entry in entries:
        match entry.get("evidence"):
            case {"tee": str(tee), "fmspc": str(fmspc), "tcb_eval": int(number), "trust_domain": str(domain), **rest}:
                root = rest.get("root_key_id") or (INTEL.root_key_id if domain == TrustDomain.INTEL else None)
                if isinstance(root, str) and tee in list(Tee):
                    family = (root, Tee(tee), fmspc)
                    numbers[family] = max(number, numbers.get(family, number))
    return SeenNumbers(MappingProxyType(numbers))
