"""Records that were delivered before and have no answer: this worker's own after a start, and those of dead workers.

They are taken one at a time, and run alone: a record that ends its worker takes no neighbour along when it is tried
again, and only its own deliveries count up until it is poisoned. Source: spec `cluster-serving.md` section 11.1.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

from strongroom.streaming.link.queue import AsyncQueue
from strongroom.streaming.link.records import Entry
from strongroom.streaming.link.worker_calls import WorkerCalls
from strongroom.streaming.worker.counts import Counts
from strongroom.streaming.worker.options import CLAIM_IDLE_BATCHES, MIN_CLAIM_IDLE_MS, WorkerOptions

BEGINNING: Final = "0-0"
PAGE: Final = 64


class Claims:
    """What one worker takes back or over. `own_due`: its own pending records were not looked at since it lost Redis."""

    def __init__(self, queue: AsyncQueue, options: WorkerOptions, counts: Counts) -> None:
        self._queue, self._options, self._counts = queue, options, counts
        self._calls = WorkerCalls(queue.job, queue.bounds)
        self._next_s = 0.0
        self.own_due = True

    @property
    def idle_ms(self) -> int:
        """For how long nobody has touched a record that is taken over: told, or three of the slowest batches."""
        measured = int(self._counts.slow_batch_s() * 1000 * CLAIM_IDLE_BATCHES)
        return self._options.claim_idle_ms or max(MIN_CLAIM_IDLE_MS, measured)

    @property
    def due(self) -> bool:
        """Whether it is time to look again."""
        return self.own_due or time.monotonic() >= self._next_s

    def look_again(self) -> None:
        """Let it be time to: what is left was not looked at."""
        self._next_s = 0.0

    async def entries(self, in_hand: Mapping[str, float]) -> AsyncIterator[Entry]:
        """Yield what has to be tried again, but for what is `in_hand`, with its deliveries. Raises RedisAway."""
        if self.own_due:
            async for entry in self._own():
                yield entry
            self.own_due = False
        self._next_s = time.monotonic() + self.idle_ms / 2000
        while found := await self._queue.run(self._calls.abandoned(self.idle_ms, PAGE)):
            for entry_id, deliveries in found.items():
                if entry_id in in_hand:
                    continue
                call = self._calls.take_over(self._options.consumer, self.idle_ms, entry_id, deliveries)
                for entry in await self._queue.run(call):
                    self._counts.redelivered += 1
                    yield entry
            if len(found) < PAGE or in_hand.keys() >= found.keys():
                return

    async def _own(self) -> AsyncIterator[Entry]:
        after: str | None = BEGINNING
        while after is not None:
            found, after = await self._queue.run(self._calls.own(self._options.consumer, 1, after))
            for entry in await self._queue.run(self._calls.deliveries(self._options.consumer, found)):
                self._counts.redelivered += 1
                yield entry
