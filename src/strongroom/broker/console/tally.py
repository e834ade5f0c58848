"""The decisions of the last day, counted once: what was read stays, and only newer lines are asked for.

Pure but for a lock. One tally for each tenant that somebody is confined to, and one for all.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from strongroom.broker.console.facts import Line
from strongroom.broker.console.overview_views import BARS, HOUR_MS
from strongroom.broker.console.wording import milliseconds

MAX_KEPT: Final = 50_000  # decisions; a page says so where there were more
STEP: Final = 500
Read = Callable[[int | None, int], tuple[tuple[Line, ...], int]]  # before, limit: newest first, where to go on


@dataclass
class _Kept:
    newest: int = -1
    times: deque[tuple[int, bool]] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))


class Tally:
    """Times and outcomes of recent decisions, by whose they are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def recent(self, whose: str, now_ms: int, read: Read) -> tuple[list[tuple[int, bool]], bool]:
        """Return time (ms) and whether it was a grant of each decision of the last day; and whether that is all."""
        with self._lock:
            kept = self._kept.setdefault(whose, _Kept())
            new: list[tuple[int, bool]] = []
            before: int | None = None
            newest = kept.newest
            while True:
                lines, before = read(before, STEP)
                fresh = [line for line in lines if line.seq > kept.newest]
                newest = max([newest, *(line.seq for line in fresh)])
                new += [
                    (milliseconds(each.entry.get("time")), each.entry.get("decision") == "granted") for each in fresh
                ]
                old = bool(new) and now_ms - new[-1][0] > BARS * HOUR_MS
                if before == 0 or len(fresh) < len(lines) or before <= kept.newest or old or len(new) >= MAX_KEPT:
                    break
            kept.newest = newest
            kept.times.extend(reversed(new))
            while kept.times and now_ms - kept.times[0][0] > BARS * HOUR_MS:
                kept.times.popleft()
            return list(kept.times), len(kept.times) < MAX_KEPT
