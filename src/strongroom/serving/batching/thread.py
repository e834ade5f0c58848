"""One thread for each loaded model: the event loop hands work over and never waits.

A request that was given up while it waited is not run. Source: spec `serving-performance.md` section 6 (never an
executor per request).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from strongroom.serving.batching.jobs import Done, Job, Outcome, Room, Waiting, run_engine
from strongroom.serving.engines.base import Engine
from strongroom.serving.tickets import Ticket
from strongroom.tfserving.datatypes import Array


class EngineThread:
    """Runs an engine's requests one after the other; `submit` belongs to the event loop that made it."""

    def __init__(self, engine: Engine, *, name: str, room: Room | None = None) -> None:
        self.engine = engine
        self.description = "one thread"
        self._waiting = Waiting(room or Room())
        self._results: deque[tuple[Job, Outcome | None]] = deque()
        self._told = False  # the loop was woken and has not looked at the results yet
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name=f"engine {name}", daemon=True)
        self._thread.start()

    def submit(self, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str], done: Done) -> Ticket:
        """Queue a run; `done` is called on the loop with its outputs or its error. Raises Overloaded."""
        job = Job(signature, inputs, outputs, done)
        self._waiting.enter(job)
        self._jobs.put(job)
        return job

    async def close(self) -> None:
        """Finish what waits, then let go of the engine."""
        self._jobs.put(None)
        await self._ended.wait()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            given_up = job.done is None
            outcome = None if given_up else run_engine(self.engine, job.signature, job.inputs, job.outputs)
            self._results.append((job, outcome))
            del job, outcome  # an idle thread keeps no request alive
            if not self._told:  # results that follow soon share one wake-up of the loop
                self._told = True
                self._tell(self._hand_out)
        self.engine.close()
        self._tell(self._ended.set)

    def _tell(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _hand_out(self) -> None:
        self._told = False  # before looking: what comes after this look wakes the loop again
        while self._results:
            job, outcome = self._results.popleft()
            self._waiting.leave(job)
            if outcome is not None:
                job.finish(outcome)
