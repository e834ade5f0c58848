"""The worker of a queue: reads records in batches, runs the model on them, answers each of them once.

One class, two runners: a plain process calls `run`, a Flink job calls `step` again and again. While one batch is in the
engine the next is read and decoded, and the one before is answered; no more than that is in hand. A record leaves the
queue in the same step that writes its result, and what a dead worker had in hand is taken over. Source: spec
`cluster-serving.md` sections 11.1 and 12; threats AN-02, AN-03, AN-05.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from strongroom.clusterserving.limits import DEFAULT_LIMITS, Limits
from strongroom.errors import StrongroomError, Unreachable
from strongroom.streaming.images.preparation import Preparation
from strongroom.streaming.link.queue import AsyncQueue
from strongroom.streaming.link.records import Completion, Entry
from strongroom.streaming.link.replies import RedisUnexpected
from strongroom.streaming.model.predictor import Predictor
from strongroom.streaming.worker.claims import Claims
from strongroom.streaming.worker.clock import RedisClock
from strongroom.streaming.worker.counts import Counts
from strongroom.streaming.worker.heartbeat import state_of
from strongroom.streaming.worker.options import WorkerOptions
from strongroom.streaming.worker.reports import Report
from strongroom.streaming.worker.stages import RecordKeys, Stages, Task
from strongroom.streaming.worker.sweeping import Sweep

FIRST_PAUSE_S: Final = 0.05  # before Redis is asked again; doubled each time
LONGEST_PAUSE_S: Final = 2.0
LOST: Final = ("NOGROUP", "UNBLOCKED")  # what Redis replies where the group, or the stream, is not there any more
MODEL_PAUSE_S: Final = 0.2  # between two looks whether the model may be used again
RETRY_S: Final = 1.0
KEPT_AT_ONCE: Final = 256
BESIDE_THE_ENGINE: Final = 2  # batches in hand: one that is decoded, one that is answered
_log: Final = logging.getLogger("strongroom.queue.worker")


class ServingWorker:
    """One consumer of one queue with one model. All methods belong to one event loop."""

    def __init__(
        self, queue: AsyncQueue, predictor: Predictor, preparation: Preparation, options: WorkerOptions, *,
        keys: RecordKeys | None = None, limits: Limits = DEFAULT_LIMITS, facts: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """`keys`: opens sealed records. `facts`: what the heartbeat says besides, such as the attestation.

        Give it a queue of its own without patience (`patience_s=0`): it waits for Redis by itself.
        """
        self._queue, self._predictor, self._options = queue, predictor, options
        self._limits, self._keys, self._facts = limits, keys, facts or {}
        self.counts = Counts()
        self._clock = RedisClock(queue.now_ms)
        self._claims, self._sweep = Claims(queue, options, self.counts), Sweep(queue, options)
        self._stages = Stages(
            predictor, preparation, options, counts=self.counts, limits=limits, keys=keys, now_ms=self._clock.now_ms
        )
        self._hands = asyncio.Semaphore(options.parallelism + BESIDE_THE_ENGINE)
        self._decoding, self._answering = asyncio.Lock(), asyncio.Lock()
        self._engine = asyncio.Semaphore(options.parallelism)
        self._decoded: list[Task] = []
        self._in_hand: dict[str, float] = {}  # entry ids, and since when (monotonic)
        self._batches: set[asyncio.Task[None]] = set()
        self._background: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None
        self._stop = asyncio.Event()
        self._since_ms = 0
        self._pause_s = FIRST_PAUSE_S
        self._away: str | None = "not connected yet"
        self._backlog: int | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then drain and take leave. Raises what is not a matter of waiting."""
        self._stop = stop
        try:
            while not stop.is_set():
                await self._turn(self._options.block_ms)
        finally:
            await self.close()

    async def close(self) -> None:
        """Answer what is in hand, at most for `drain_s`; take leave if nothing is left; close model and queue."""
        try:
            async with asyncio.timeout(self._options.drain_s):
                await self._put_down()
                await _ended(self._background)  # a heartbeat after the farewell would bring its name back
                if self._since_ms:
                    await self._take_leave()
        except (TimeoutError, Unreachable, RedisUnexpected):
            _log.warning("stopped with %d records in hand; other workers take them over", len(self._in_hand))
        finally:
            await _ended([*self._background, *self._batches])
            self._stages.close()
            await self._predictor.close()
            await self._queue.close()

    @property
    def done(self) -> int:
        """How many records it has dealt with so far: answered, left to others, or answered by others before."""
        return self.counts.served + self.counts.errors + self.counts.left + self.counts.late_answers

    @property
    def settings(self) -> dict[str, int]:
        """The effective settings that decide how fast it is."""
        options = self._options
        return {"batch_size": options.batch_size, "parallelism": options.parallelism, "threads": options.threads}

    def report(self) -> Report:
        """Return what probes and Prometheus are told."""
        reason = self._away or self._predictor.not_ready_reason
        families = self.counts.families(self.settings, backlog=self._backlog, in_flight=len(self._in_hand))
        return Report(reason is None, reason or "ready", families)

    async def _turn(self, block_ms: int) -> int:
        """Read once, or try again what was delivered before; return how many records were found."""
        self._look_after()
        try:
            if not self._since_ms:
                await self._begin()
            if (reason := self._predictor.not_ready_reason) is not None:
                _log.warning("reading nothing: %s", reason)
                await asyncio.sleep(MODEL_PAUSE_S)
                return 0
            await self._clock.refresh()
            found = await self._retry() if self._claims.due else 0
            found += await self._read(block_ms)
        except Unreachable as problem:
            await self._bear(problem)
            return 0
        except RedisUnexpected as problem:
            if not any(word in problem.sentence for word in LOST):
                raise
            self._since_ms = 0  # Redis came back without its data: begin again
            return 0
        self._away, self._pause_s = None, FIRST_PAUSE_S
        return found

    def _look_after(self) -> None:
        """Raise what ended a task that should not have ended."""
        if self._failure is not None:
            raise self._failure
        for task in self._background:
            if task.done():
                task.result()

    async def _begin(self) -> None:
        await self._queue.make_group()
        await self._clock.refresh()
        self._since_ms = self._clock.now_ms()
        await self._beat()
        self._background = self._background or [
            asyncio.create_task(self._beat_on()),
            asyncio.create_task(self._hold_on()),
        ]

    async def _bear(self, problem: Unreachable) -> None:
        """Wait until Redis may be back; what was delivered to us meanwhile is among our own pending records."""
        if self._away is None or self._pause_s == FIRST_PAUSE_S:
            _log.warning("%s; trying again", problem.sentence)
        self._away, self._claims.own_due = problem.sentence, True
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    async def _retry(self) -> int:
        """Take back or over what has no answer, one record at a time and with nothing else in hand.

        After a while new records get their turn, and whoever waits for a step or for the end.
        """
        found, until = 0, time.monotonic() + RETRY_S
        if self._claims.own_due:
            await self._put_down()  # what is in hand is among our own
        async for entry in self._claims.entries(self._in_hand):
            await self._put_down()
            await self._hands.acquire()
            self._hold([entry])
            await self._serve([entry])
            found += 1
            if self._predictor.not_ready_reason is not None or self._stop.is_set():
                break  # what it leaves is for others; it takes nothing more
            if time.monotonic() > until and not self._claims.own_due:
                self._claims.look_again()
                break
        return found

    async def _read(self, block_ms: int) -> int:
        await self._hands.acquire()
        entries: Sequence[Entry] = ()
        try:
            most = self._options.batch_size
            entries = await self._queue.read(self._options.consumer, most, block_ms)
            if entries and len(entries) < most and self._options.batch_wait_us:
                await asyncio.sleep(self._options.batch_wait_us / 1e6)  # Redis would wake us at the first of them
                entries = (*entries, *await self._queue.read(self._options.consumer, most - len(entries)))
        finally:
            if entries:
                self._hold(entries)
                task = asyncio.create_task(self._serve(entries))
                self._batches.add(task)
                task.add_done_callback(self._batch_over)
            else:
                self._hands.release()
        return len(entries)

    def _batch_over(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        if not task.cancelled():
            self._failure = self._failure or task.exception()

    def _hold(self, entries: Sequence[Entry]) -> None:
        now = time.monotonic()
        self._in_hand.update({entry.entry_id: now for entry in entries})

    async def _serve(self, entries: Sequence[Entry]) -> None:
        """Take a batch through its stages; decoded records that wait for the engine run with the next batch."""
        try:
            async with self._decoding:
                self._decoded += await self._stages.decode(entries)
            async with self._engine:
                most = self._options.batch_size
                tasks, self._decoded = self._decoded[:most], self._decoded[most:]
                await self._stages.predict(tasks)
            async with self._answering:
                await self._answer(tasks)
        finally:
            self._hands.release()

    async def _answer(self, tasks: Sequence[Task]) -> None:
        """Write the results, however long Redis is away: until then the records are pending, and no more are read."""
        completions, pause_s = self._stages.completions(tasks), FIRST_PAUSE_S
        while completions:
            try:
                self._count(completions, await self._queue.complete_many(completions))
                break
            except Unreachable as problem:
                if self._away is None:
                    _log.warning("%s; %d results wait", problem.sentence, len(completions))
                self._away, self._claims.own_due = problem.sentence, True
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except StrongroomError as problem:
                if len(completions) > 1:
                    await self._answer_singly(completions)
                    break
                _log.error("entry %s stays pending: %s", completions[0].entry.entry_id, problem.sentence)
                break
        for task in tasks:
            self._in_hand.pop(task.entry.entry_id, None)

    async def _answer_singly(self, completions: Sequence[Completion]) -> None:
        """Write results one by one: Redis does not take one of them."""
        for each in completions:
            try:
                self._count([each], await self._queue.complete_many([each]))
            except StrongroomError as problem:
                _log.error("entry %s stays pending: %s", each.entry.entry_id, problem.sentence)

    def _count(self, completions: Sequence[Completion], was_first: Sequence[bool]) -> None:
        counts = self.counts
        for each, first in zip(completions, was_first, strict=True):
            if not first:
                counts.late_answers += 1
            elif (code := each.fields.get("code")) is not None:
                counts.faults[str(code)] += 1
                counts.dead_letters += each.bury is not None
            else:
                counts.served += 1

    async def _put_down(self) -> None:
        """Wait until nothing is in hand."""
        while self._batches:
            await asyncio.wait(self._batches)

    async def _take_leave(self) -> None:
        await self._queue.leave(self._options.consumer)
        await self._queue.farewell([self._options.consumer])

    async def _beat_on(self) -> None:
        """Say every few seconds that this worker lives, look at what waits, and sweep after workers that ended."""
        while True:
            await asyncio.sleep(self._options.heartbeat_s)
            try:
                await self._beat()
                self._backlog = (await self._queue.backlog()).records
                await self._sweep.when_due(self._clock.now_ms())
            except (Unreachable, RedisUnexpected) as problem:
                _log.debug("no heartbeat: %s", problem.sentence)

    async def _beat(self) -> None:
        facts = dict(self._facts)
        if self._keys is not None:
            facts |= {"kids": list(self._keys.kids), "kid": next(iter(self._keys.kids), "")}
        state = state_of(
            self._options, self._predictor.identity, self.counts, bounds=self._queue.bounds, limits=self._limits,
            since_ms=self._since_ms, ready=self._predictor.not_ready_reason is None, facts=facts,
        )  # fmt: skip
        await self._queue.heartbeat(self._options.consumer, state)

    async def _hold_on(self) -> None:
        """Say of records that have been in hand for long that they still are, so that nobody takes them over."""
        while True:
            third_s = self._claims.idle_ms / 3000
            await asyncio.sleep(third_s)
            old = [entry_id for entry_id, since in self._in_hand.items() if time.monotonic() - since > third_s / 2]
            try:
                for at in range(0, len(old), KEPT_AT_ONCE):
                    await self._queue.keep(self._options.consumer, old[at : at + KEPT_AT_ONCE])
            except (Unreachable, RedisUnexpected) as problem:
                _log.debug("records in hand were not kept: %s", problem.sentence)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
