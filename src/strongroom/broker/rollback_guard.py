"""Remember the highest evaluation number seen per platform family, over restarts.

World: one small file, readable by its owner alone and replaced in one step, before a decision rests on it.
"""

from __future__ import annotations

import threading
from pathlib import Path

from strongroom.attestation import Verdict
from strongroom.attestation.rollback import MAX_STATE_BYTES, SeenNumbers
from strongroom.errors import Unreachable
from strongroom.pki import disk


class RollbackStateUnwritable(Unreachable):
    """The record of evaluation numbers seen cannot be written, so nothing can be released on new collateral."""

    code = "SR-ROLLBACK-STATE-WRITE"
    fix = "Make room on the disk and check that the folder of the ledger is writable."


class RollbackGuard:
    """Refuses collateral older than was seen before. Threads may share it; without a path it forgets at its end."""

    def __init__(self, path: Path | None = None) -> None:
        """Read what was seen. Raises RollbackStateBroken, or LoosePermissions for a file that others can reach."""
        self._path = path
        self._lock = threading.Lock()
        self._seen = SeenNumbers()
        if path is not None and path.exists():
            disk.check_private(path)
            self._seen = SeenNumbers.from_json(disk.read_bounded(path, limit=MAX_STATE_BYTES))

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
