"""Runs jobs that were planned together, in whatever thread it is called; every job has its outcome afterwards.

The request that makes a batch fail does not make the others fail: they run again, one by one. Outputs that cannot be
split are an error under TensorFlow Serving's parameters, as there, and the end of joining otherwise.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Final

from strongroom.errors import StrongroomError
from strongroom.serving.batching.arrays import join, split
from strongroom.serving.batching.audit import Audit, alike
from strongroom.serving.batching.jobs import Job, Outcome, Outputs
from strongroom.serving.batching.pace import BatchLimit, Quickness
from strongroom.serving.batching.plan import can_share
from strongroom.serving.engines.base import Engine
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.status import EngineFailed, NotSplittable
from strongroom.tfserving.config_batching import BatchingSettings
from strongroom.tfserving.datatypes import Array

_log: Final = logging.getLogger(__name__)


class Executor:
    """An engine, what is known about joining its requests, and what is measured."""

    def __init__(
        self, engine: Engine, *, model: str, settings: BatchingSettings | None, drain: bool, metrics: Metrics | None
    ) -> None:
        self.engine, self._model, self._settings, self._metrics = engine, model, settings, metrics
        self._audit = Audit()
        self.quickness, self.limit = Quickness(), BatchLimit()
        self._shared = frozenset(
            name
            for name, signature in engine.signatures.items()
            if (settings is not None or (drain and engine.stateless))
            and engine.batchable(name)
            and can_share(signature, outputs_too=settings is None)
        )

    def may_share(self, signature: str) -> bool:
        """Return whether requests for a signature may be joined, as far as is known by now."""
        return signature in self._shared and signature not in self._audit.refused

    def run(self, jobs: Sequence[Job], *, on_loop: bool = False) -> None:
        """Run jobs that agree in all but their rows; those that nobody waits for any more are left out."""
        live = [job for job in jobs if job.done is not None]
        try:
            self._run(live, on_loop=on_loop)
        except Exception as problem:  # noqa: BLE001  # whoever runs this must outlive it, and every request be answered
            _log.exception("a batch failed in an unforeseen way")
            for job in live:
                job.outcome = job.outcome or EngineFailed(f"the requests could not be run ({type(problem).__name__})")

    def _run(self, live: Sequence[Job], *, on_loop: bool) -> None:
        if self._settings is not None:
            self._run_batch(live, self._settings)
        elif len(live) > 1 and self.may_share(live[0].signature):
            self._run_drained(live, on_loop=on_loop)
        else:
            self._run_singly(live, on_loop=on_loop)

    def _run_singly(self, jobs: Sequence[Job], *, on_loop: bool) -> None:
        for job in jobs:
            job.outcome = self._timed(job.inputs, [job], max(job.rows, 1), on_loop=on_loop)

    def _run_drained(self, jobs: Sequence[Job], *, on_loop: bool) -> None:
        """Join what queued while the engine was busy."""
        signature, rows = jobs[0].signature, sum(job.rows for job in jobs)
        outcome = self._timed(join([job.inputs for job in jobs], rows), jobs, rows, on_loop=on_loop)
        parts: list[dict[str, Array]] = []
        if not isinstance(outcome, StrongroomError):
            try:
                parts = split(outcome, [job.rows for job in jobs], rows)
            except NotSplittable as problem:
                self._stop_joining(signature, problem.sentence)
        if not parts:
            self._run_singly(jobs, on_loop=on_loop)
        elif not self._audit.due(signature):
            for job, part in zip(jobs, parts, strict=True):
                job.outcome = part
        else:
            self._run_singly(jobs, on_loop=on_loop)
            single = [each for job in jobs if not isinstance(each := job.outcome or {}, StrongroomError)]
            if len(single) != len(parts) or not alike(parts, single):
                self._stop_joining(signature, "its rows are not independent of each other")

    def _stop_joining(self, signature: str, why: str) -> None:
        self._audit.refuse(signature)
        _log.warning("%s: requests for %r are not joined any more: %s", self._model, signature, why)

    def _run_batch(self, jobs: Sequence[Job], settings: BatchingSettings) -> None:
        """Run a batch under TensorFlow Serving's parameters; jobs without rows come alone."""
        if not jobs or not jobs[0].rows:
            self._run_singly(jobs, on_loop=False)
            return
        rows = sum(job.rows for job in jobs)
        padded = settings.padded(rows)
        outcome = self._timed(join([job.inputs for job in jobs], padded), jobs, padded, on_loop=False)
        if isinstance(outcome, StrongroomError) and len(jobs) > 1:
            for job in jobs:
                self._run_batch([job], settings)
            return
        outcomes: Sequence[Outcome] = [outcome]
        if not isinstance(outcome, StrongroomError):
            try:
                outcomes = split(outcome, [job.rows for job in jobs], padded)
            except NotSplittable as problem:
                outcomes = [problem] * len(jobs)
        for job, each in zip(jobs, outcomes, strict=True):
            job.outcome = each

    def _timed(self, inputs: Mapping[str, Array], jobs: Sequence[Job], rows: int, *, on_loop: bool) -> Outcome:
        """Run these inputs, those of all jobs, and note how long it took."""
        first, quickness = jobs[0], self.quickness
        measured = not on_loop or quickness.in_doubt
        began_cpu_s = time.thread_time() if measured else 0.0
        began_s = time.perf_counter()
        outcome = run_engine(self.engine, first.signature, inputs, first.outputs)
        wall_s = time.perf_counter() - began_s
        size = first.size if len(jobs) == 1 else sum(job.size for job in jobs)
        if on_loop:
            quickness.ran_inline(wall_s, time.thread_time() - began_cpu_s if measured else None, size=size)
        elif self._settings is None:  # several threads measure nothing
            quickness.ran_in_thread(wall_s, time.thread_time() - began_cpu_s, size=size, requests=len(jobs))
            self.limit.ran(rows, wall_s)
        if self._metrics is not None:
            self._metrics.ran(self._model, first.api, self.engine.runtime, wall_s * 1e6, len(jobs))
        return outcome


def run_engine(engine: Engine, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Outcome:
    """Run, whatever the engine is like: never raises."""
    try:
        results: Outputs = engine.run(signature, inputs, outputs)
    except StrongroomError as problem:
        return problem
    except Exception as problem:  # noqa: BLE001  # the runner must outlive any defect of an engine
        _log.exception("the engine failed in an unforeseen way")
        return EngineFailed(f"the engine failed ({type(problem).__name__})")
    return results
