"""A front's requests answered by the workers of a queue: one record an instance, one reply list a front.

A front is one more client. Its reply list carries a name of its own, so that two fronts on one job each get all and
only their results (spec section 9, D7). World: Redis, through the queue's client.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from strongroom.clusterserving.config import QueueConfig
from strongroom.clusterserving.faults import Conflict, DeadlineExceeded, Internal, NotReady, ServingError
from strongroom.clusterserving.values import Inputs, Result
from strongroom.errors import BadInput, StrongroomError, Unreachable
from strongroom.streaming.client.aio import AsyncClient, AsyncTicket
from strongroom.streaming.client.core import Submission
from strongroom.streaming.client.settings import Settings
from strongroom.streaming.client.tickets import ResultTimeout, UriBusy
from strongroom.streaming.frontend.metrics import FrontMetrics
from strongroom.streaming.link.place import Place
from strongroom.streaming.link.queue import AsyncQueue

CLOSE_S: Final = 2.0
LOOK_S: Final = 2.0  # how often the queue key's file is looked at
_log: Final = logging.getLogger("strongroom.queue.frontend")


class UnsealedFront(BadInput):
    """Records are to be sealed, and the front end is not told to whom."""

    code = "SR-QUEUE-FRONTEND-UNSEALED"
    fix = "Set queueKeyFile (strongroom queue key writes it) and ownerKeyFile, or leave recordEncrypted out."


class QueueBackend:
    """Answers instances through one job. Connects when it is first asked."""

    def __init__(self, config: QueueConfig, metrics: FrontMetrics) -> None:
        """Raises RedisPlaintext, RedisSetup, BadQueueOption, UnsealedFront and what the queue key's reader raises."""
        self._settings = _settings(config)
        self._client = AsyncClient.with_settings(self._settings)
        self._probe = AsyncQueue(self._settings.place, config.job, patience_s=0.0)
        self._metrics = metrics
        self._key_files = [each for each in (self._settings.seal_to, self._settings.owner_key) if each is not None]
        self._keys_seen, self._look_at_s = self._key_state(), 0.0
        self._leaving: set[asyncio.Task[None]] = set()

    async def predict(
        self, instances: Sequence[Inputs], *, timeout_s: float, idempotency_key: str | None = None
    ) -> list[Result]:
        """Return one result for each instance, in order; what fails is a result with its error.

        Workers drop a record once its deadline is over. When the caller is cancelled nobody waits for it any longer.
        """
        ends_s = time.monotonic() + timeout_s
        keys = _keys(idempotency_key, len(instances))
        submissions = [
            Submission(inputs=each, deadline_ms=max(1, int(1000 * timeout_s)), idempotency_key=key)
            for each, key in zip(instances, keys, strict=True)
        ]
        self._renew()
        client = self._client
        with self._metrics.timed("redis.put"):
            try:
                async with asyncio.timeout(timeout_s):
                    sent = await _send(client, submissions)
            except TimeoutError:
                late = NotReady("the queue could not be reached before the deadline")
                return [Result("", error=late) for _ in instances]
        tickets = [each for each in sent if isinstance(each, AsyncTicket)]
        try:
            with self._metrics.timed("redis.wait"):
                await _wait(client, tickets, max(0.001, ends_s - time.monotonic()))
            with self._metrics.timed("redis.get"):
                return [each if isinstance(each, Result) else await _result(each) for each in sent]
        finally:
            _forget(client, tickets)

    async def not_ready_reason(self) -> str | None:
        """Return why no worker can answer now, None where one can."""
        try:
            workers = await self._probe.workers()
        except StrongroomError as problem:
            return problem.sentence
        living = [each.state for each in workers if each.state is not None]
        if not living:
            return "no worker works on this queue"
        if not any(each.get("ready") is not False for each in living):
            return "no worker has its model ready"
        return None

    async def close(self) -> None:
        """Delete the reply list and close the connections."""
        for each in list(self._leaving):
            each.cancel()
        await asyncio.gather(_close(self._client), *self._leaving, return_exceptions=True)
        await self._probe.close()

    def _renew(self) -> None:
        """Seal to the queue key that stands in the file now: the owner replaces it before it runs out."""
        if not self._key_files or time.monotonic() < self._look_at_s:
            return
        self._look_at_s = time.monotonic() + LOOK_S
        state = self._key_state()
        if state == self._keys_seen:
            return
        try:
            client = AsyncClient.with_settings(self._settings)
        except StrongroomError as problem:
            _log.warning("the changed queue key is not used: %s [%s]", problem.sentence, problem.code)
            return
        old, self._client, self._keys_seen = self._client, client, state
        task = asyncio.get_running_loop().create_task(_leave(old))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        _log.info("records are sealed to the renewed queue key")

    def _key_state(self) -> list[tuple[int, int]]:
        return [(found.st_mtime_ns, found.st_ino) for found in map(_stat, self._key_files) if found is not None]


def _settings(config: QueueConfig) -> Settings:
    """Return how a configuration's queue is reached. Raises UnsealedFront."""
    key_file = Path(config.queue_key_file) if config.queue_key_file else None
    if key_file is None and (config.record_encrypted or config.require_sealed):
        raise UnsealedFront("recordEncrypted or requireSealed is set, and queueKeyFile is not")
    return Settings(
        place=Place.of(config), job=config.job, seal_to=key_file, version=config.model_version,
        owner_key=Path(config.owner_key_file) if key_file and config.owner_key_file else None,
    )  # fmt: skip


async def _send(client: AsyncClient, submissions: Sequence[Submission]) -> list[AsyncTicket | Result]:
    """Send all in one round trip; where one of them is unfit, each by itself, so that the others are answered."""
    try:
        return list(await client.submit_many(submissions))
    except StrongroomError as problem:
        if len(submissions) == 1 or isinstance(problem, Unreachable):
            return [Result("", error=_as_serving_error(problem)) for _ in submissions]
    return [(await _send(client, [each]))[0] for each in submissions]


async def _wait(client: AsyncClient, tickets: Sequence[AsyncTicket], timeout_s: float) -> None:
    try:
        await client.results(tickets, timeout_s)
    except ResultTimeout:
        return  # each that is missing says so itself
    except StrongroomError as problem:
        raise _as_serving_error(problem) from None


def _forget(client: AsyncClient, tickets: Sequence[AsyncTicket]) -> None:
    """Wait no more for what has not come: a caller that left, or a deadline that passed, leaves nothing here."""
    waits = client.core.waits
    waits.drop(waits.named([each.uri for each in tickets if not each.done]))


async def _leave(client: AsyncClient) -> None:
    """Close a client once nobody waits for its results any more."""
    try:
        while len(client.core.waits):  # noqa: ASYNC110  # whoever waited knows nothing of us
            await asyncio.sleep(LOOK_S)
    finally:
        await _close(client)


async def _close(client: AsyncClient) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await client.close()
    except (TimeoutError, StrongroomError) as problem:
        _log.info("a reply list stays behind, and runs out by itself: %s", type(problem).__name__)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


async def _result(ticket: AsyncTicket) -> Result:
    """Return a ticket's result, its error as one."""
    if not ticket.done:
        return Result(ticket.uri, error=DeadlineExceeded("no result came before the deadline", uri=ticket.uri))
    try:
        return await ticket.result(0)
    except StrongroomError as problem:
        return Result(ticket.uri, ticket.entry_id, error=_as_serving_error(problem))


def _keys(idempotency_key: str | None, count: int) -> list[str | None]:
    """Return each instance's key: the caller's, and its place where there are several."""
    if idempotency_key is None or count == 1:
        return [idempotency_key] * count
    return [f"{idempotency_key}#{at}" for at in range(count)]


def _as_serving_error(problem: StrongroomError) -> ServingError:
    """Return what an error of the queue is to a caller, who is not told where Redis is."""
    if isinstance(problem, ServingError):
        return problem
    if isinstance(problem, UriBusy):
        return Conflict("a request with this Idempotency-Key is still being answered")
    _log.warning("a request fails: %s [%s]", problem.sentence, problem.code)
    if isinstance(problem, Unreachable):
        return NotReady("the queue cannot be reached at the moment")
    return Internal("the front end cannot use its queue; its log says more")
