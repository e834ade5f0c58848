"""Work of many connections on one loop, done one piece behind the other where it keeps coming.

What one piece has brought into the processor's caches, the next one finds there: judging evidence in turns takes a
fifth less than judging between handshakes. A piece that comes alone is done at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

CROWD_WITHIN_S: Final = 0.012  # pieces closer than that are many: then the next ones are waited for
GATHER_S: Final = 0.008
MOST_AT_ONCE: Final = 16  # then the loop looks at its sockets


class Turns:
    """Runs actions in the order they came, a few milliseconds late where they are many. Actions raise nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._last = float("-inf")

    def add(self, action: Callable[[], None]) -> None:
        """Run `action` now or soon."""
        if self._waiting:
            self._waiting.append(action)
            return
        now = self._loop.time()
        alone, self._last = now - self._last > CROWD_WITHIN_S, now
        if alone:
            action()
            return
        self._waiting.append(action)
        self._loop.call_later(GATHER_S, self._run)

    def _run(self) -> None:
        self._last = self._loop.time()
        for _ in range(min(len(self._waiting), MOST_AT_ONCE)):
            self._waiting.popleft()()
        if self._waiting:
            self._loop.call_soon(self._run)
