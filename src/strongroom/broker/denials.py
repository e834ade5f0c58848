"""Bound what refused peers can make the broker write: beyond a rate, denials are counted instead (threat SV-13).

World: a thread that writes the last count of a flood. Every denial within the rate has a line of its own in log and
ledger; those beyond it share one line a second, which tells how many of each code there were and who asked most.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

BURST: Final = 1000  # denials that may be written one by one before the rate counts
PER_SECOND: Final = 5.0  # about 7 kB a second, 600 MB a day, at the very most
SUM_EVERY_S: Final = 1.0
MAX_PEERS: Final = 5
_MAX_COUNTED: Final = 1000  # different peers of one sum


@dataclass(slots=True)
class Flood:
    """Denials that were counted instead of written."""

    first: str
    last: str = ""
    codes: Counter[str] = field(default_factory=Counter)
    peers: Counter[str] = field(default_factory=Counter)

    def add(self, case_id: str, code: str, peer: str) -> None:
        """Count one denial."""
        self.last = case_id
        self.codes[code] += 1
        if peer in self.peers or len(self.peers) < _MAX_COUNTED:
            self.peers[peer] += 1

    @property
    def busiest(self) -> list[str]:
        """The addresses that asked most, most first."""
        return [peer for peer, _ in self.peers.most_common(MAX_PEERS)]


class DenialGate:
    """Says which denials get a line of their own, and hands the sums of the others to `write`. Threads may share it."""

    def __init__(self, write: Callable[[Flood], None], *, burst: int = BURST, per_second: float = PER_SECOND,
                 every_s: float = SUM_EVERY_S, monotonic: Callable[[], float] = time.monotonic) -> None:  # fmt: skip
        self._write = write
        self._burst = float(burst)
        self._per_second = per_second
        self._every_s = every_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._left = self._burst
        self._at = monotonic()
        self._flood: Flood | None = None
        self._timer: threading.Timer | None = None

    def passes(self, case_id: str, code: str, peer: str) -> bool:
        """Return whether a denial gets its own line; one that does not has been counted."""
        with self._lock:
            now = self._monotonic()
            self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
            self._at = now
            if self._left >= 1:
                self._left -= 1
                return True
            if self._flood is None:
                self._flood = Flood(first=case_id)
                self._timer = threading.Timer(self._every_s, self.flush)
                self._timer.daemon = True
                self._timer.start()
            self._flood.add(case_id, code, peer.rpartition(":")[0] or peer)
            return False

    def flush(self) -> None:
        """Hand out what was counted since the last sum, if anything was."""
        with self._lock:
            flood, self._flood = self._flood, None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if flood is not None:
            self._write(flood)
