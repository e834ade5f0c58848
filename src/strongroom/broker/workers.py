"""Threads beside an event loop: work goes out, results come back in batches, so that many cost few wake-ups.

World: threads. The loop never waits; a result is handed to its callback on the loop, in the order of completion.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

_log = logging.getLogger("strongroom.broker")
T = TypeVar("T")
Work = tuple[Callable[[], Any], Callable[[Any], None]]


class Workers:
    """So many threads for work that may block. Made and used on the loop; `hand_back` is for any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int, *, name: str) -> None:
        self._loop = loop
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._ready: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._woken = False
        self._threads = [threading.Thread(target=self._serve, name=f"{name}-{number}") for number in range(count)]
        for thread in self._threads:
            thread.start()

    def run(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run `work` in a thread, then `then` with its result on the loop. `work` raises nothing."""
        self._queue.put((work, then))

    def hand_back(self, then: Callable[[T], None], result: T) -> None:
        """Call `then` with `result` on the loop, soon."""
        self._ready.append((then, result))
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                _log.debug("a result came after the server had stopped")  # the loop is closed: nobody waits any more

    def _drain(self) -> None:
        self._woken = False
        while self._ready:
            then, result = self._ready.popleft()
            then(result)

    def _serve(self) -> None:
        while (item := self._queue.get()) is not None:
            work, then = item
            try:
                result = work()
            except Exception:  # noqa: BLE001  # a thread that dies would leave everybody waiting
                _log.exception("a defect in a worker's task")
                result = None
            self.hand_back(then, result)

    def stop(self) -> None:
        """Finish what was begun, and end the threads."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
