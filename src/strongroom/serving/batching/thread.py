"""The engine's threads: the event loop hands work over and never waits.

What queued while the threads were busy is what they take next; results go back by one wake-up of the loop for each
run. Source: spec `serving-performance.md` section 6 (never an executor per request; deque and condition).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from strongroom.serving.batching.executor import Executor
from strongroom.serving.batching.jobs import Job
from strongroom.serving.batching.plan import Batches, Key
from strongroom.tfserving.datatypes import Array

LARGE_BYTES: Final = 256 * 1024  # of a run's results; smaller ones are not counted
MAX_AHEAD_BYTES: Final = 64 * 1024 * 1024  # of results that the loop has not fetched; then the engine waits for it


class EngineThreads:
    """`count` threads over one queue of batches. `put` and `close` belong to the event loop that made it.

    `finished` is called on the loop with the jobs of a run, those that were cancelled included.
    """

    def __init__(
        self,
        executor: Executor,
        batches: Batches[Job],
        *,
        name: str,
        count: int,
        finished: Callable[[Sequence[Job]], None],
    ) -> None:
        self._executor, self._batches, self._finished = executor, batches, finished
        self._loop = asyncio.get_running_loop()
        lock = threading.RLock()
        self._condition, self._fetched = threading.Condition(lock), threading.Condition(lock)
        self._closing = False
        self._idle = 0
        self._results: deque[list[Job]] = deque()
        self._ahead_bytes = 0  # of large results, under the lock
        self._told = False  # the loop was woken and has not looked at the results yet
        self._alive = count
        self._ended = asyncio.Event()
        for number in range(count):
            label = f"engine {name}" if count == 1 else f"engine {name} {number}"
            threading.Thread(target=self._work, name=label, daemon=True).start()

    def put(self, entries: Sequence[tuple[Job, Key | None]]) -> None:
        """Queue all jobs or none. Raises QueueFull."""
        now = time.monotonic()
        with self._condition:
            free = self._batches.free_batches()
            if free is not None and len(entries) > 1 and free < len(entries):
                raise self._batches.full()
            for job, key in entries:
                self._batches.add(job, key=key, rows=job.rows, size=job.size, now=now)
            if self._idle:
                self._condition.notify(len(entries))

    async def close(self) -> None:
        """Finish what waits."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        await self._ended.wait()

    def _next(self) -> list[Job] | None:
        """Wait for a batch; None once all is done."""
        with self._condition:
            while True:
                now = time.monotonic()
                jobs = self._batches.take(now, everything=self._closing)
                if jobs is not None or self._closing:
                    return jobs
                self._idle += 1
                self._condition.wait(self._batches.due_in(now))
                self._idle -= 1

    def _work(self) -> None:
        while (jobs := self._next()) is not None:
            self._executor.run(jobs)
            self._wait_for_loop(jobs)
            self._results.append(jobs)
            del jobs  # an idle thread keeps no request alive
            if not self._told:  # results that follow soon share one wake-up of the loop
                self._told = True
                self._tell(self._hand_out)
        self._tell(self._end)

    def _wait_for_loop(self, jobs: Sequence[Job]) -> None:
        """Let the loop catch up with large results: it encodes them, and what waits for that is memory (SV-12)."""
        size = _size_of(jobs)
        if size < LARGE_BYTES:
            return
        with self._condition:
            while self._ahead_bytes and self._ahead_bytes + size > MAX_AHEAD_BYTES and self._loop.is_running():
                self._fetched.wait(1.0)
            self._ahead_bytes += size

    def _tell(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _hand_out(self) -> None:
        self._told = False  # before looking: what comes after this look wakes the loop again
        while self._results:
            jobs = self._results.popleft()
            if self._ahead_bytes and (size := _size_of(jobs)) >= LARGE_BYTES:
                with self._condition:
                    self._ahead_bytes -= size
                    self._fetched.notify_all()
            self._finished(jobs)

    def _end(self) -> None:
        self._alive -= 1
        if not self._alive:
            self._hand_out()
            self._ended.set()


def _size_of(jobs: Sequence[Job]) -> int:
    """Return the bytes of the results of a run; strings count as their references."""
    return sum(sum(map(_bytes_of, job.outcome.values())) for job in jobs if isinstance(job.outcome, Mapping))


def _bytes_of(array: Array) -> int:
    return int(getattr(array, "nbytes", 0))
