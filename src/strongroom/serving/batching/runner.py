"""A model's runner: quick models on the event loop, a tick at a time, others in their threads.

One run at a time, whichever way. What is joined is decided by TensorFlow Serving's parameters where they are given;
otherwise whatever queued while the engine was busy is joined, where that is safe.
Source: spec `serving-performance.md` section 6. Decision: docs/decisions/0012-drain-batching.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from strongroom.errors import StrongroomError
from strongroom.serving.batching.arrays import cut, together
from strongroom.serving.batching.executor import Executor
from strongroom.serving.batching.jobs import Done, Job, Outcome, Outputs, Room, Waiting
from strongroom.serving.batching.plan import Batches, Key, key_of, rows_of
from strongroom.serving.batching.thread import EngineThreads
from strongroom.serving.engines.base import Engine
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.requests.tickets import Ticket
from strongroom.serving.status import BadRequest, NotSplittable, Overloaded
from strongroom.serving.threads import in_thread
from strongroom.tfserving.config_batching import BatchingSettings
from strongroom.tfserving.datatypes import Array

DRAIN_ROWS: Final = 64
DRAIN_BYTES: Final = 8 * 1024 * 1024  # of the inputs that are joined
TICK_REQUEST_BYTES: Final = 16 * 1024  # up to here a request waits for the end of its tick, to be joined
TICK_ROWS: Final = 256  # of quick runs, joined on the loop
TICK_BYTES: Final = 64 * 1024
TICK_S: Final = 1e-3  # after which the rest of a tick's requests lets the loop do something else


class ModelRunner:
    """All methods belong to the event loop that made it; `name` is for people, `model` is the label of the metrics."""

    def __init__(
        self,
        engine: Engine,
        *,
        name: str,
        model: str = "",
        settings: BatchingSettings | None = None,
        drain: bool = True,
        metrics: Metrics | None = None,
        room: Room | None = None,
    ) -> None:
        self._engine, self._settings, self._drain = engine, settings, drain
        self._loop = asyncio.get_running_loop()
        self._waiting = Waiting(room or Room())
        self._executor = Executor(engine, model=model or name, settings=settings, drain=drain, metrics=metrics)
        self._batches: Batches[Job] = _batches(settings)
        self._in_threads = 0  # jobs that the threads have and whose outcome the loop has not seen
        self._tick: list[Job] = []
        self._closed = False
        self._tick_plan: Batches[Job] = Batches(max_rows=TICK_ROWS, max_bytes=TICK_BYTES)
        self._count = settings.num_batch_threads if settings is not None and engine.concurrent else 1
        self._threads = EngineThreads(self._executor, self._batches, name=name, count=self._count, finished=self._ran)

    @property
    def description(self) -> str:
        """Threads and batching as they are in force."""
        if self._settings is not None:
            return _described(self._settings, self._count)
        inline = self._executor.quickness.inline
        where = "on the event loop" if inline else "one engine thread, on the event loop once runs prove quick"
        shared = sorted(name for name in self._engine.signatures if self._executor.may_share(name))
        if not shared:
            return f"{where}; requests run one by one" + ("" if self._drain else " (--drain_batching=false)")
        rows = TICK_ROWS if inline else DRAIN_ROWS
        return f"{where}; requests that queue are joined for {', '.join(shared)}, {rows} rows at most"

    def submit(
        self, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str], done: Done, *, api: str = "Predict"
    ) -> Ticket:
        """Queue a run; `done` is called on the loop, once, perhaps before this returns.

        Raises Overloaded, QueueFull, BadRequest.
        """
        if self._closed:
            raise Overloaded("this version of the model is being unloaded")
        job = Job(signature, inputs, outputs, done, api)
        quickness = self._executor.quickness
        if quickness.inline and not self._in_threads:
            if job.size <= TICK_REQUEST_BYTES:
                self._waiting.enter([job])
                if not self._tick:
                    self._loop.call_soon(self._run_tick)
                self._tick.append(job)
                return job
            if job.size <= quickness.proved_bytes:  # at once, while what has just arrived is in the cache
                self._executor.run([job], on_loop=True)
                job.finish()
                return job
        self._measure(job)
        if self._settings is not None and job.rows > self._settings.max_execution_batch_size:
            large = _pieces(job, self._settings)
            self._accept(large.pieces)
            return large
        self._accept([job])
        return job

    async def close(self) -> None:
        """Finish what waits, then let go of the engine; nothing new is taken from now on."""
        self._closed = True
        while self._tick:
            self._run_tick()
        await self._threads.close()
        await in_thread(self._engine.close, name="engine close")

    def _accept(self, jobs: Sequence[Job]) -> None:
        self._waiting.enter(jobs)
        try:
            self._hand_over(jobs)
        except StrongroomError:
            self._waiting.leave(jobs)
            raise

    def _hand_over(self, jobs: Sequence[Job]) -> None:
        if self._settings is None:
            self._batches.max_rows = self._executor.limit.rows
        self._threads.put([(job, self._key(job)) for job in jobs])
        self._in_threads += len(jobs)

    def _measure(self, job: Job) -> None:
        if self._executor.may_share(job.signature):
            job.rows = rows_of(job.inputs)

    def _key(self, job: Job) -> Key | None:
        if not job.rows:
            return None
        padded = self._settings is not None and self._settings.pad_variable_length_inputs
        return key_of(job.signature, job.inputs, job.outputs, padded=padded)

    def _ran(self, jobs: Sequence[Job]) -> None:
        self._in_threads -= len(jobs)
        self._finish(jobs)

    def _finish(self, jobs: Sequence[Job]) -> None:
        self._waiting.leave(jobs)
        for job in jobs:
            job.finish()

    def _run_tick(self) -> None:
        """Run the requests that arrived in one tick of the loop; or not here, if the engine is busy or became slow."""
        jobs, self._tick = self._tick, []
        if len(jobs) > 1:
            for job in jobs:
                self._measure(job)
        if self._in_threads or not self._executor.quickness.inline:
            self._hand_over(jobs)
        elif len(jobs) == 1:
            self._executor.run(jobs, on_loop=True)
            self._finish(jobs)
        else:
            self._run_many(jobs)

    def _run_many(self, jobs: Sequence[Job]) -> None:
        plan = self._tick_plan
        for job in jobs:
            plan.add(job, key=self._key(job), rows=job.rows, size=job.size, now=0.0)
        stop_s = time.perf_counter() + TICK_S
        while time.perf_counter() < stop_s and (alike := plan.take(0.0)) is not None:
            self._executor.run(alike, on_loop=True)
            self._finish(alike)
        rest = [job for batch in iter(lambda: plan.take(0.0), None) for job in batch]
        if rest:  # ahead of what has arrived meanwhile
            if not self._tick:
                self._loop.call_soon(self._run_tick)
            self._tick[:0] = rest


class _Large:
    """A request that runs in pieces: the ticket of the one who asked."""

    def __init__(self, job: Job, inputs: Sequence[Mapping[str, Array]], *, padded: bool) -> None:
        self._job, self._left, self._padded = job, len(inputs), padded
        self._parts: list[Outputs] = [{}] * len(inputs)
        self.pieces = [
            Job(job.signature, each, job.outputs, partial(self._part, at), job.api) for at, each in enumerate(inputs)
        ]

    def cancel(self) -> None:
        """Forget who asked; pieces that have not begun do not run."""
        self._job.cancel()
        for piece in self.pieces:
            piece.cancel()

    def _part(self, at: int, outcome: Outcome) -> None:
        self._left -= 1
        if isinstance(outcome, StrongroomError):
            self._job.outcome = outcome
            self._job.finish()
            self.cancel()
            return
        self._parts[at] = outcome
        if not self._left:
            try:
                self._job.outcome = together(self._parts, padded=self._padded)
            except NotSplittable as problem:
                self._job.outcome = problem
            self._job.finish()


def _pieces(job: Job, settings: BatchingSettings) -> _Large:
    """Return a request that is larger than a batch in pieces. Raises BadRequest where it is too large for that."""
    if not settings.enable_large_batch_splitting or job.rows > settings.max_batch_size:
        raise BadRequest(f"Task size {job.rows} is larger than maximum input batch size {settings.max_batch_size}")
    pieces = cut(job.inputs, settings.max_execution_batch_size)
    large = _Large(job, pieces, padded=settings.pad_variable_length_inputs)
    for piece in large.pieces:
        piece.rows = rows_of(piece.inputs)
    return large


def _batches(settings: BatchingSettings | None) -> Batches[Job]:
    if settings is None:
        return Batches(max_rows=1, max_bytes=DRAIN_BYTES)
    return Batches(
        max_rows=settings.max_execution_batch_size,
        timeout_s=settings.batch_timeout_s,
        max_batches=settings.max_enqueued_batches,
    )


def _described(settings: BatchingSettings, threads: int) -> str:
    sizes = (
        f", filled up to {', '.join(map(str, settings.allowed_batch_sizes))}" if settings.allowed_batch_sizes else ""
    )
    padding = ", inputs padded to one inner shape" if settings.pad_variable_length_inputs else ""
    splitting = f", requests up to {settings.max_batch_size} split" if settings.enable_large_batch_splitting else ""
    return (
        f"{threads} engine thread(s); batches of {settings.max_execution_batch_size} rows at most, waiting "
        f"{settings.batch_timeout_s * 1e6:.0f} us, {settings.max_enqueued_batches} enqueued at most"
        f"{sizes}{padding}{splitting}"
    )
