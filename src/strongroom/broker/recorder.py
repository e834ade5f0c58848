"""Keep evidence that peers presented, to judge it again under another policy (`strongroom policy diff`).

World: one folder, files 0600: a quote names its platform. One file for each kind of peer: what differs only in the key
or nonce that a quote carries is the same evidence to a policy. At most so many files; then nothing more is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from datetime import datetime
from pathlib import Path
from typing import Final

from strongroom.attestation import Verdict, claims_of
from strongroom.attestation.recorded import RecordedEvidence
from strongroom.broker.appraisal import Appraised
from strongroom.pki import disk

MAX_FILES: Final = 1000
_SUFFIX: Final = ".json"
_CHANGING: Final = ("report_data", "judged_at", "not_before", "not_after", "attestation_key")
_log = logging.getLogger("strongroom.broker")


class EvidenceRecorder:
    """Writes recorded evidence into one folder. Threads may share it; it never keeps a decision from being made."""

    def __init__(self, folder: Path, *, most: int = MAX_FILES) -> None:
        """Make the folder if it is not there. Raises LoosePermissions if others can enter it."""
        folder.mkdir(mode=disk.SECRET_FOLDER_MODE, parents=True, exist_ok=True)
        disk.check_private(folder)
        self._folder = folder
        self._most = most
        self._lock = threading.Lock()
        self._kept = {path.stem for path in folder.glob(f"*{_SUFFIX}")}

    def keep(self, found: Appraised, *, at: datetime) -> None:
        """Write the evidence unless its like is there; trouble with the disk is logged, no more."""
        name = fingerprint(found.verdict)
        with self._lock:
            if name in self._kept or len(self._kept) >= self._most:
                return
            record = RecordedEvidence(quote=found.quote, collateral=found.collateral, at=at)
            try:
                disk.replace_private(self._folder / f"{name}{_SUFFIX}", record.to_json())
            except OSError as problem:
                _log.warning("evidence could not be recorded: %s", problem.strerror)
                return
            self._kept.add(name)
            if len(self._kept) == self._most:
                _log.warning("%s holds %d pieces of evidence: no more are recorded", self._folder, self._most)


def fingerprint(verdict: Verdict) -> str:
    """Return the same 32 hex digits for evidence of one kind: over what policies look at, less what always differs."""
    claims = {name: value for name, value in claims_of(verdict).to_json_object().items() if name not in _CHANGING}
    return hashlib.sha256(json.dumps(claims, sort_keys=True).encode()).hexdigest()[:32]
