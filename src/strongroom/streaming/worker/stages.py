"""The three things that happen to a batch: it is decoded, it runs, its records are answered.

Each record ends with outputs, a text or one typed error; a failure of one never reaches its neighbours. What is left
pending has no answer on purpose: another worker may have the key, or the lease. Source: spec `cluster-serving.md`
sections 11.1, 11.5 and 11.6; defects D8 and D9.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from strongroom.clusterserving.faults import (
    DeadlineExceeded,
    Fault,
    Internal,
    InvalidUri,
    ModelError,
    Poisoned,
    ServingError,
    ShapeMismatch,
    UnsealFailed,
    trail,
)
from strongroom.clusterserving.limits import Limits
from strongroom.clusterserving.names import check_uri
from strongroom.clusterserving.record import Opener, read_record, uri_of
from strongroom.clusterserving.result import ResultSealer, error_fields, result_fields
from strongroom.clusterserving.sealed import UnknownQueueKey
from strongroom.clusterserving.values import Inputs, Outputs, Record
from strongroom.errors import StrongroomError
from strongroom.streaming.images.preparation import Preparation
from strongroom.streaming.link.records import Completion, Entry
from strongroom.streaming.model.predictor import Predictor
from strongroom.streaming.worker.batching import Row, Work, run_all
from strongroom.streaming.worker.counts import Counts
from strongroom.streaming.worker.options import WorkerOptions

IN_THREAD_BYTES: Final = 8 * 1024  # a batch whose records are larger on average is prepared beside the event loop
DEAD: Final = frozenset({Fault.POISONED, Fault.MODEL_ERROR, Fault.UNSEAL_FAILED, Fault.INTERNAL})
_log: Final = logging.getLogger("strongroom.queue.worker")


class RecordKeys(Opener, ResultSealer, Protocol):
    """What opens sealed records and seals their results."""

    @property
    def kids(self) -> Sequence[str]:
        """The queue keys that are held, newest first."""


@dataclass(slots=True, eq=False)
class Task:
    """One record on its way. `answer` None: it has none yet. `leave`: it stays pending, for another worker."""

    entry: Entry
    record: Record | None = None
    work: Work | None = None
    answer: Outputs | str | ServingError | None = None
    leave: bool = False

    @property
    def waits(self) -> bool:
        """Whether there is still something to do before it is answered."""
        return self.answer is None and not self.leave


class Stages:
    """What one worker does to its batches."""

    def __init__(
        self, predictor: Predictor, preparation: Preparation, options: WorkerOptions, *, counts: Counts,
        limits: Limits, keys: RecordKeys | None, now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._predictor, self._preparation, self._options = predictor, preparation, options
        self._counts, self._limits, self._keys, self._now_ms = counts, limits, keys, now_ms
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def decode(self, entries: Sequence[Entry]) -> list[Task]:
        """Return a task for each entry: ready to run, answered with an error, or left."""
        tasks = [self._read(entry) for entry in entries]
        waiting = [task for task in tasks if task.waits]
        if sum(bytes_of(task.entry) for task in waiting) > IN_THREAD_BYTES * len(waiting):
            await asyncio.get_running_loop().run_in_executor(self._thread, self._prepare_all, waiting)
        else:
            self._prepare_all(waiting)
        return tasks

    async def predict(self, tasks: Sequence[Task]) -> None:
        """Run what is ready; afterwards every task is answered or left."""
        waiting = [task for task in tasks if task.waits and not self._late(task)]
        if waiting and self._predictor.not_ready_reason is not None:
            for task in waiting:
                task.leave = True
            return
        works = [task.work for task in waiting if task.work is not None]
        if not works:
            return
        began = time.monotonic()
        rows = self._options.batch_size
        await run_all(works, self._predictor.predict, batchable=self._predictor.batchable, most_rows=rows)
        seconds = time.monotonic() - began
        self._counts.batch(len(works), seconds)
        _log.info(
            "%d records backend time %.6f s. Throughput %.1f", len(works), seconds, len(works) / max(seconds, 1e-9)
        )
        for task in waiting:
            self._take_result(task)

    def completions(self, tasks: Sequence[Task]) -> list[Completion]:
        """Return how the answered tasks are completed, after a last look at their deadlines."""
        found = []
        for task in tasks:
            self._counts.record_bytes += bytes_of(task.entry)
            if task.leave:
                self._counts.left += 1
                continue
            self._late(task)
            found.append(self._completion(task))
        return found

    def _completion(self, task: Task) -> Completion:
        entry, ts_ms = task.entry, self._now_ms()
        error, answer = (task.answer, None) if isinstance(task.answer, ServingError) else (None, task.answer)
        if task.record is None:
            error = error or Internal("the record was not read")
            uri, reply = error.uri, _text(entry.fields.get(b"reply"))
            fields = error_fields(entry.entry_id, error, ts_ms=ts_ms)
        else:
            uri, reply = task.record.uri, task.record.reply
            if error is not None:
                fields = result_fields(task.record, ts_ms=ts_ms, error=error, sealer=self._keys)
            elif isinstance(answer, str):
                fields = result_fields(task.record, ts_ms=ts_ms, text=answer, sealer=self._keys)
            else:
                fields = self._outputs(task.record, answer or {}, ts_ms)
        dead = uri is None or (error is not None and error.fault in DEAD)
        bury = str(error.fault) if dead and error is not None else None
        return Completion(entry=entry, uri=uri, fields=fields, reply=reply, bury=bury)

    def _outputs(self, record: Record, outputs: Outputs, ts_ms: int) -> dict[str, str | bytes]:
        try:
            return result_fields(record, ts_ms=ts_ms, outputs=outputs, sealer=self._keys)
        except Exception as problem:  # noqa: BLE001  # whatever a model returns, its record has to be answered
            error = problem if isinstance(problem, ServingError) else _unforeseen(problem, record.entry_id)
            return result_fields(record, ts_ms=ts_ms, error=error, sealer=self._keys)

    def _read(self, entry: Entry) -> Task:
        """Decode a record, on the event loop: what opens sealed ones belongs to it."""
        task = Task(entry)
        try:
            self._try_again(entry)
            task.record = read_record(
                entry.entry_id, entry.fields, limits=self._limits, opener=self._keys,
                require_sealed=self._options.require_sealed,
            )  # fmt: skip
            self._late(task)
        except UnknownQueueKey:
            task.leave = True
        except ServingError as problem:
            task.answer = problem
        except Exception as problem:  # noqa: BLE001  # whatever a record can do, it has to be answered
            task.answer = _unforeseen(problem, entry.entry_id)
            task.answer.uri = _text(entry.fields.get(b"uri"))
        return task

    def _try_again(self, entry: Entry) -> None:
        """Raise why a record is not tried again: nobody holds its key, or it ends its workers. It is not decoded."""
        times = self._options.max_deliveries
        if entry.deliveries <= times:
            return
        uri = uri_of(entry.fields)
        held = {kid.encode() for kid in self._keys.kids} if self._keys is not None else set()
        if entry.fields.get(b"serde") == b"sealed" and entry.fields.get(b"kid") not in held:
            raise UnsealFailed(f"none of {times} workers that were given the record holds its key", uri=uri)
        raise Poisoned(f"{times} workers were given the record, and none finished it", uri=uri)

    def _prepare_all(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if task.record is None:
                continue
            try:
                task.work = Work(self._rows(task.record.instances))
            except ServingError as problem:
                task.answer = problem
            except Exception as problem:  # noqa: BLE001  # as above
                task.answer = _unforeseen(problem, task.entry.entry_id)

    def _rows(self, instances: Sequence[Inputs]) -> list[Row]:
        """Return a record's instances: as one where they may share a run with others, else each by itself."""
        predictor, prepare = self._predictor, self._preparation.prepare
        if not predictor.batchable:
            return [Row(prepare((each,), predictor.signature)) for each in instances]
        arrays = prepare(instances, predictor.signature)
        sizes = {array.shape[0] for array in arrays.values()}
        if len(sizes) != 1:
            raise ShapeMismatch(f"the record's inputs have different numbers of rows: {sorted(sizes)}")
        return [Row(arrays, sizes.pop(), added=len(instances) == 1 and not self._preparation.batched)]

    def _late(self, task: Task) -> bool:
        """Answer a record whose deadline has passed; return whether it has."""
        deadline_ms = task.record.deadline_ms if task.record is not None else None
        if deadline_ms is None and self._options.default_deadline_ms:
            deadline_ms = int(task.entry.entry_id.partition("-")[0]) + self._options.default_deadline_ms
        if deadline_ms is None or isinstance(task.answer, ServingError) or self._now_ms() < deadline_ms:
            return False
        task.answer = DeadlineExceeded("the deadline passed before there was a result")
        return True

    def _take_result(self, task: Task) -> None:
        """Answer a task with what came of its work, or leave it where the model is not there any more."""
        work = task.work
        if work is None or task.answer is not None:
            return
        problem = work.problem
        if problem is None:
            try:
                task.answer = self._preparation.answer(work.outputs or {})
            except Exception as raised:  # noqa: BLE001  # a hook may raise anything
                problem = raised
        if isinstance(problem, ServingError):
            task.answer = problem
        elif problem is not None:
            task.leave = self._predictor.not_ready_reason is not None
            if not task.leave:
                reason = problem.sentence if isinstance(problem, StrongroomError) else trail(problem)
                _log.warning("entry %s: the model failed: %s", task.entry.entry_id, reason)
                task.answer = ModelError(f"the model failed; the worker's log says more of {task.entry.entry_id}")


def bytes_of(entry: Entry) -> int:
    """Return the bytes of a record's fields as they came."""
    return sum(map(len, entry.fields.values()))


def _unforeseen(problem: Exception, entry_id: str) -> ServingError:
    """Log what nobody foresaw, without what it says: that may quote a record."""
    _log.error("entry %s: %s", entry_id, trail(problem))
    return Internal(f"the worker failed; its log has the reason under {entry_id}")


def _text(raw: bytes | None) -> str | None:
    """Return a field that is a uri or a reply list, None for one that can be neither."""
    try:
        return check_uri(raw.decode()) if raw else None
    except (InvalidUri, UnicodeDecodeError):
        return None
