"""What workers leave behind that ended without a farewell: their consumers, and their names in the list of workers.

Killed pods never come back under their names, so without this the group would grow for ever. Source: spec
`cluster-serving.md` section 9, defect D1.
"""

from __future__ import annotations

import time
from typing import Final

from strongroom.streaming.link.queue import AsyncQueue
from strongroom.streaming.worker.options import WorkerOptions

STALE_MS: Final = 24 * 3600 * 1000  # `queue status` shows a worker that ended for so long


class Sweep:
    """Removes consumers that hold nothing and whose workers are not heard of; every worker does it for all."""

    def __init__(self, queue: AsyncQueue, options: WorkerOptions) -> None:
        self._queue, self._options = queue, options
        self._next_s = time.monotonic() + options.forget_ms / 1000

    async def when_due(self, now_ms: int) -> None:
        """Sweep if it is time to; `now_ms` by Redis' clock. Raises RedisAway, RedisUnexpected."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + self._options.forget_ms / 1000
        seen = await self._queue.workers()
        living = {each.name for each in seen if each.alive} | {self._options.consumer}
        consumers = await self._queue.consumers()
        idle = [name for name, pending in consumers.items() if not pending and name not in living]
        await self._queue.dismiss(idle, self._options.forget_ms)
        stale = [each.name for each in seen if each.name not in living and now_ms - each.last_seen_ms > STALE_MS]
        if stale:
            await self._queue.farewell(stale)
