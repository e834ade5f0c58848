"""What time it is for Redis: deadlines are in its clock, and asking it each time would be a round trip."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

REFRESH_S: Final = 10.0


class RedisClock:
    """Redis' TIME, carried on by this machine's monotonic clock and asked anew every ten seconds."""

    def __init__(self, ask_ms: Callable[[], Awaitable[int]]) -> None:
        self._ask_ms = ask_ms
        self._base_ms = 0.0  # Redis' time less the monotonic clock's
        self._next = 0.0

    async def refresh(self) -> None:
        """Ask Redis if it is time to. Raises RedisAway."""
        before = time.monotonic()
        if before < self._next:
            return
        now_ms = await self._ask_ms()
        after = time.monotonic()
        self._base_ms = now_ms - (before + after) * 500
        self._next = after + REFRESH_S

    def now_ms(self) -> int:
        """Return milliseconds since 1970 by Redis' clock; `refresh` has to have run before."""
        return int(self._base_ms + time.monotonic() * 1000)
