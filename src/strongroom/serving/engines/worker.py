"""One thread for each loaded model: the event loop hands work over and never waits.

A request that was given up while it waited is not run. What waits is bounded in number. Source: spec
`serving-performance.md` section 6 (never an executor per request).
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from strongroom.errors import StrongroomError
from strongroom.serving.engines.base import Engine
from strongroom.serving.status import EngineFailed, Overloaded
from strongroom.tfserving.datatypes import Array

MAX_WAITING: Final = 256
_log: Final = logging.getLogger(__name__)

Outputs: TypeAlias = Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    signature: str
    inputs: Mapping[str, Array]
    outputs: Sequence[str]
    answer: asyncio.Future[Outputs]


class EngineThread:
    """Runs an engine's requests one after the other; `submit` belongs to the event loop that made it."""

    def __init__(self, engine: Engine, *, name: str, max_waiting: int = MAX_WAITING) -> None:
        self.engine = engine
        self._max_waiting = max_waiting
        self._waiting = 0
        self._results: deque[tuple[asyncio.Future[Outputs], Outputs | StrongroomError | None]] = deque()
        self._told = False  # the loop was woken and has not looked at the results yet
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name=f"engine {name}", daemon=True)
        self._thread.start()

    def submit(self, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> asyncio.Future[Outputs]:
        """Queue a run; the future holds its outputs or its error. Raises Overloaded."""
        if self._waiting >= self._max_waiting:
            raise Overloaded(f"{self._waiting} requests wait for the model already")
        self._waiting += 1
        answer = self._loop.create_future()
        self._jobs.put(_Job(signature=signature, inputs=inputs, outputs=outputs, answer=answer))
        return answer

    async def close(self) -> None:
        """Finish what waits, then let go of the engine."""
        self._jobs.put(None)
        await self._ended.wait()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._results.append((job.answer, None if job.answer.done() else self._run(job)))
            del job  # an idle thread keeps no request alive
            if not self._told:  # results that follow soon share one wake-up of the loop
                self._told = True
                self._tell(self._hand_out)
        self.engine.close()
        self._tell(self._ended.set)

    def _run(self, job: _Job) -> Outputs | StrongroomError:
        try:
            return self.engine.run(job.signature, job.inputs, job.outputs)
        except StrongroomError as problem:
            return problem
        except Exception as problem:  # noqa: BLE001  # the thread must outlive any defect of an engine
            _log.exception("the engine failed in an unforeseen way")
            return EngineFailed(f"the engine failed ({type(problem).__name__})")

    def _tell(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _hand_out(self) -> None:
        self._told = False  # before looking: what comes after this look wakes the loop again
        while self._results:
            answer, result = self._results.popleft()
            self._waiting -= 1
            if answer.done() or result is None:
                continue
            if isinstance(result, StrongroomError):
                answer.set_exception(result)
            else:
                answer.set_result(result)
