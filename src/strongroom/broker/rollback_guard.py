"""Remember the highest evaluation number seen per platform family, over restarts.

World: one small file, readable by its owner alone and replaced in one step, before a decision rests on it. Where it is
gone the ledger tells what was seen, so that taking the file away brings no old collateral back.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from strongroom.attestation import INTEL, Tee, TrustDomain, Verdict
from strongroom.attestation.rollback import MAX_STATE_BYTES, Family, SeenNumbers
from strongroom.errors import Unreachable
from strongroom.pki import disk

_log = logging.getLogger("strongroom.broker")


class RollbackStateUnwritable(Unreachable):
    """The record of evaluation numbers seen cannot be written, so nothing can be released on new collateral."""

    code = "SR-ROLLBACK-STATE-WRITE"
    fix = "Make room on the disk and check that the folder of the ledger is writable."


class RollbackGuard:
    """Refuses collateral older than was seen before. Threads may share it; without a path it forgets at its end."""

    def __init__(self, path: Path | None = None, *, ledger: Iterable[Mapping[str, Any]] = ()) -> None:
        """Read what was seen; where the file is gone, from the decisions that `ledger` yields.

        Raises RollbackStateBroken, or LoosePermissions for a file that others can reach.
        """
        self._path = path
        self._lock = threading.Lock()
        self._seen = SeenNumbers()
        if path is None:
            return
        if path.exists():
            disk.check_private(path)
            self._seen = SeenNumbers.from_json(disk.read_bounded(path, limit=MAX_STATE_BYTES))
            return
        self._seen = seen_in(ledger)
        if self._seen.numbers:
            _log.warning("%s is gone: the evaluation numbers seen were taken from the ledger", path)

    def admit(self, verdict: Verdict) -> None:
        """Take note of a verdict's number. Raises CollateralRollback, or RollbackStateUnwritable."""
        with self._lock:
            seen = self._seen.admit(verdict)
            if seen is self._seen:
                return
            if self._path is not None:
                try:
                    disk.replace_private(self._path, seen.to_json())
                except OSError as problem:
                    raise RollbackStateUnwritable(f"{self._path}: {problem.strerror}") from None
            self._seen = seen


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
