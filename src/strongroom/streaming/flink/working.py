"""The queue's worker in a thread of its own, for a runner that calls in now and then to see how far it is.

World: threads. Flink calls a function for each tick and wants it back soon, so that checkpoint barriers pass; a worker
that were driven by those calls would put everything down between them. Here it goes on, with its own event loop, and a
tick only waits a moment and counts. Nothing of this knows Flink. Source: spec `cluster-serving.md` section 12.2.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Protocol

from strongroom.serving import loops


class Worker(Protocol):
    """What works on a queue until it is told to stop."""

    @property
    def done(self) -> int:
        """How many records it has dealt with so far."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then drain."""


class WorkerThread:
    """One worker, open and at work from the start on. `tick` and `close` may come from any threads."""

    def __init__(self, opening: Callable[[], Awaitable[Worker]]) -> None:
        """Begin to open the worker; `await_open` waits for it."""
        self._opening = opening
        self._worker: Worker | None = None
        self._failure: BaseException | None = None
        self._told = 0
        self._changed = threading.Event()  # it is open, or it has ended
        self._ended = threading.Event()
        self._loop = loops.loop_factory()()
        self._stop = asyncio.Event()
        self._work = self._loop.create_task(self._open_and_run())
        self._thread = threading.Thread(target=self._turn, name="queue worker")
        self._thread.start()

    def await_open(self) -> None:
        """Wait until the worker is open. Raises what opening it raised."""
        self._changed.wait()
        self._raise_failure()

    def tick(self, wait_s: float) -> int:
        """Wait so long, or until the worker ends; return how many records it has dealt with since the last tick.

        Raises what ended the worker.
        """
        self._ended.wait(wait_s)
        self._raise_failure()
        done = self._worker.done if self._worker is not None else 0
        since, self._told = done - self._told, done
        return since

    def close(self) -> None:
        """Let the worker answer what is in hand and take leave, and wait for that; the second time nothing happens.

        Raises what went wrong since the last tick.
        """
        if self._ended.is_set():
            return
        self._loop.call_soon_threadsafe(self._stop_now)
        self._thread.join()
        self._raise_failure()

    def _stop_now(self) -> None:
        self._stop.set()
        if self._worker is None:
            self._work.cancel()  # it may be waiting for its key

    async def _open_and_run(self) -> None:
        worker = await self._opening()
        self._worker = worker
        self._changed.set()
        await worker.run(self._stop)

    def _turn(self) -> None:
        """Be the thread: turn the loop until the worker has ended."""
        try:
            self._loop.run_until_complete(self._work)
        except asyncio.CancelledError:
            pass  # it was told to stop while it opened
        except BaseException as problem:  # noqa: BLE001  # whatever ended it is for the next tick to raise
            self._failure = problem
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
            self._ended.set()
            self._changed.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
