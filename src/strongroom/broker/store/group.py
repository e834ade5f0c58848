"""Who writes next: a lone caller runs its operation itself, several share one transaction and one sync.

World: threads. A caller that finds nobody writing takes the turn and everything that waits; one that comes meanwhile
queues, and the writer's thread takes the whole queue once the turn is free. So one write costs no change of threads,
and many cost one sync together. Where operations keep coming, the thread waits a few milliseconds for the next ones: a
sync takes as long, and each transaction saved is processor time for the judging of evidence.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar, cast

from strongroom.broker.store.errors import StoreBusy, StoreUnavailable

MAX_WAITING: Final = 10_000
MAX_BATCH: Final = 256
CROWD: Final = 4  # so many operations
CROWD_WITHIN_S: Final = 0.045  # in so short a time are more than one caller's: then the next ones are waited for
GATHER_S: Final = 0.015
Operation = Callable[[Any], Any]
T = TypeVar("T")


class Task:
    """One operation, and what came of it: `error`, or else `result`."""

    __slots__ = ("error", "future", "gate", "operation", "result")

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.result: Any = None
        self.error: BaseException | None = None
        self.gate: threading.Lock | None = None  # a caller that waits for another thread to run it
        self.future: Future[Any] | None = None

    def finish(self) -> None:
        """Tell who waits that `result` or `error` is there."""
        if self.gate is not None:
            self.gate.release()
        if self.future is not None and self.future.set_running_or_notify_cancel():
            if self.error is not None:
                self.future.set_exception(self.error)
            else:
                self.future.set_result(self.result)


class GroupWriter:
    """Collects operations and hands them to `run` in batches, one batch at a time.

    `run` gives every task its result or its error and raises nothing but what ends the process.
    """

    def __init__(self, run: Callable[[Sequence[Task]], None], *, name: str) -> None:
        self._run = run
        self._turn = threading.Lock()
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self._open = threading.Lock()  # between looking whether the writer is closed and queueing
        self._closed = False
        self._arrived: deque[float] = deque([float("-inf")] * CROWD, maxlen=CROWD)  # when the last ones were queued
        self._running: int | None = None  # the thread whose turn it is
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def write(self, operation: Callable[[Any], T]) -> T:
        """Run `operation` and return its result once it is durable; raise what it raised."""
        if self._running == threading.get_ident():
            raise RuntimeError("an operation must not write to the store it runs in")
        task = Task(operation)
        if self._turn.acquire(blocking=False):
            self._lead(task)
        else:
            task.gate = threading.Lock()
            task.gate.acquire()
            self._put(task)
            task.gate.acquire()
        if task.error is not None:
            raise task.error
        return cast("T", task.result)

    def submit(self, operation: Callable[[Any], T]) -> Future[T]:
        """Queue `operation`; the future is done once the result is durable."""
        task = Task(operation)
        task.future = Future()
        self._put(task)
        return task.future

    def close(self) -> None:
        """Finish what is queued and end the thread; later operations raise StoreUnavailable."""
        with self._open:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _put(self, task: Task) -> None:
        with self._open:
            if self._closed:
                raise StoreUnavailable("the store was closed")
            if self._queue.qsize() >= MAX_WAITING:
                raise StoreBusy(f"{MAX_WAITING} changes are waiting already")
            self._arrived.append(time.monotonic())
            self._queue.put(task)

    def _lead(self, own: Task) -> None:
        """Run `own` and what waits; the caller has taken the turn."""
        if self._closed:
            self._turn.release()
            raise StoreUnavailable("the store was closed")
        self._batch(self._waiting(own))

    def _waiting(self, first: Task) -> list[Task]:
        tasks = [first]
        with suppress(Empty):
            while len(tasks) < MAX_BATCH and not self._queue.empty():
                task = self._queue.get_nowait()
                if task is None:
                    self._queue.put(None)  # the thread's word to end, and nothing comes behind it
                    break
                tasks.append(task)
        return tasks

    def _batch(self, tasks: Sequence[Task]) -> None:
        """Run a batch, let the next one begin, and only then wake who waited: they may do as they like."""
        self._running = threading.get_ident()
        try:
            self._run(tasks)
        except BaseException as problem:
            for task in tasks:
                task.error = task.error or StoreUnavailable(f"the writer was interrupted ({type(problem).__name__})")
            raise
        finally:
            self._running = None
            self._turn.release()
            for task in tasks:
                task.finish()

    def _serve(self) -> None:
        while (task := self._queue.get()) is not None:
            if time.monotonic() - self._arrived[0] < CROWD_WITHIN_S:
                time.sleep(GATHER_S)  # more are on their way: one transaction and one sync for all of them
            self._turn.acquire()
            with suppress(BaseException):  # every task of the batch has been told, and the next ones need this thread
                self._batch(self._waiting(task))
