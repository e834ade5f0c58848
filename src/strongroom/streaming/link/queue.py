"""One job's queue in Redis: `AsyncQueue` for coroutines, `Queue` for threads.

World: clocks and, through `connection`, sockets. An operation that does no harm when it is repeated is repeated with
back-off while Redis is away, still loading, or has lost its scripts; one that might do harm is repeated only where it
surely had no effect.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import abstractmethod
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final, Self, TypeVar, cast

from strongroom.clusterserving.faults import ServingError
from strongroom.clusterserving.names import Job
from strongroom.streaming.link.calls import Bounds, Call, Round
from strongroom.streaming.link.connection import AsyncLink, Place, RedisAway, SyncLink
from strongroom.streaming.link.operations import Operations
from strongroom.streaming.link.records import (
    Admission,
    Backlog,
    Completion,
    DeadLetter,
    Entry,
    Fields,
    RawFields,
    WorkerSeen,
)
from strongroom.streaming.link.replies import Command, Reply

__all__ = [
    "Admission", "AsyncQueue", "Backlog", "Bounds", "Completion", "DeadLetter", "Entry", "Fields", "Place", "Queue",
    "RawFields", "WorkerSeen", "now", "pauses",
]  # fmt: skip

T = TypeVar("T")
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 2.0
PATIENCE_S: Final = 10.0


def pauses(patience_s: float) -> Iterator[float]:
    """Yield how long to wait before each further try, longer every time; ends when patience does."""
    began, pause = time.monotonic(), FIRST_PAUSE_S
    while time.monotonic() - began < patience_s:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311  # so that workers do not come back all at once
        pause = min(pause * 2, LONGEST_PAUSE_S)


def _load(call: Call[Any]) -> list[tuple[str, ...]]:
    return [("SCRIPT", "LOAD", call.script.source)] if call.script is not None else []


class _Repeating(Operations):
    """Carries calls out over a link; who waits how is left to the two below."""

    def __init__(self, place: Place, job: Job, bounds: Bounds | None, patience_s: float) -> None:
        super().__init__(place, job, bounds)
        self.patience_s = patience_s

    @abstractmethod
    async def _exchange(self, commands: Sequence[Command], wait_ms: int) -> list[Reply]:
        """Send commands in one go and return their replies. Raises RedisAway and its kin."""

    @abstractmethod
    async def _pause(self, seconds: float) -> None:
        """Wait before the next try."""

    async def run(self, call: Call[T]) -> T:
        """Carry out a call: again, with back-off, while Redis is away and a repetition does no harm."""
        if not call.commands:
            return call.read([])
        turn, waits = Round(call, self.place.spelled), None
        while True:
            try:
                why = turn.take(await self._exchange(turn.commands(), call.wait_ms))
                if why is None:
                    return call.read(turn.replies)
                if why == "NOSCRIPT" and call.script is not None:
                    loaded = await self._exchange(_load(call), 0)
                    if turn.loaded(loaded[0]):
                        continue
                problem = turn.given_up()
            except RedisAway as away:
                if away.unsure and not call.repeatable:
                    raise
                problem = away
            waits = waits or pauses(self.patience_s)
            pause = next(waits, None)
            if pause is None:
                raise problem
            await self._pause(pause)


class AsyncQueue(_Repeating):
    """A job's queue for the coroutines of one event loop; they share a connection."""

    def __init__(self, place: Place, job: Job, bounds: Bounds | None = None, *, patience_s: float = PATIENCE_S) -> None:
        """`patience_s`: how long Redis may be away before that is an error. Raises RedisPlaintext, RedisSetup."""
        super().__init__(place, job, bounds, patience_s)
        self._link = AsyncLink(place)

    async def _exchange(self, commands: Sequence[Command], wait_ms: int) -> list[Reply]:
        return await self._link.exchange(commands, wait_ms=wait_ms)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Blocking(_Repeating):
    """The operations for one thread at a time each: it waits where it stands, so nothing is ever suspended."""

    def __init__(self, place: Place, job: Job, bounds: Bounds | None, patience_s: float) -> None:
        super().__init__(place, job, bounds, patience_s)
        self.link = SyncLink(place)

    async def _exchange(self, commands: Sequence[Command], wait_ms: int) -> list[Reply]:
        return self.link.exchange(commands, wait_ms=wait_ms)

    async def _pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251  # no event loop runs this


def now(operation: Coroutine[Any, Any, T]) -> T:
    """Run an operation that is never suspended."""
    try:
        operation.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    operation.close()
    raise AssertionError("a blocking operation was suspended")


class Queue:
    """A job's queue for threads; the operations are those of `AsyncQueue`."""

    def __init__(self, place: Place, job: Job, bounds: Bounds | None = None, *, patience_s: float = PATIENCE_S) -> None:
        """`patience_s`: how long Redis may be away before that is an error. Raises RedisPlaintext, RedisSetup."""
        self._all = _Blocking(place, job, bounds, patience_s)

    @property
    def place(self) -> Place:
        """Where Redis is."""
        return self._all.place

    @property
    def job(self) -> Job:
        """Whose queue it is."""
        return self._all.job

    @property
    def bounds(self) -> Bounds:
        """How much it takes."""
        return self._all.bounds

    def run(self, call: Call[T]) -> T:
        """Carry out a call."""
        return now(self._all.run(call))

    def close(self) -> None:
        """Close the connections."""
        self._all.link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def admit(self, fields: Fields, *, idempotency_key: str | None = None, expires_in_ms: int | None = None) -> str:
        """See `AsyncQueue.admit`."""
        return now(self._all.admit(fields, idempotency_key=idempotency_key, expires_in_ms=expires_in_ms))

    def admit_many(self, admissions: Sequence[Admission]) -> list[str | ServingError]:
        """See `AsyncQueue.admit_many`."""
        return now(self._all.admit_many(admissions))

    def result(
        self, uri: str, *, entry_id: str | None = None, forget: bool = False, linger_ms: int | None = None
    ) -> RawFields | None:
        """See `AsyncQueue.result`."""
        return now(self._all.result(uri, entry_id=entry_id, forget=forget, linger_ms=linger_ms))

    def results(
        self, uris: Sequence[str], *, entry_ids: Sequence[str | None] | None = None, forget: bool = False,
        linger_ms: int | None = None,
    ) -> list[RawFields | None]:  # fmt: skip
        """See `AsyncQueue.results`."""
        return now(self._all.results(uris, entry_ids=entry_ids, forget=forget, linger_ms=linger_ms))

    def forget(self, uris: Sequence[str]) -> int:
        """See `AsyncQueue.forget`."""
        return now(self._all.forget(uris))

    def replies(self, client: str, *, count: int = 64, wait_ms: int = 0) -> list[str]:
        """See `AsyncQueue.replies`."""
        return now(self._all.replies(client, count=count, wait_ms=wait_ms))

    def backlog(self) -> Backlog:
        """See `AsyncQueue.backlog`."""
        return now(self._all.backlog())

    def workers(self) -> tuple[WorkerSeen, ...]:
        """See `AsyncQueue.workers`."""
        return now(self._all.workers())

    def now_ms(self) -> int:
        """See `AsyncQueue.now_ms`."""
        return now(self._all.now_ms())

    def scan(self, cursor: str = "0") -> tuple[str, list[str]]:
        """See `AsyncQueue.scan`."""
        return now(self._all.scan(cursor))

    def make_group(self) -> bool:
        """See `AsyncQueue.make_group`."""
        return now(self._all.make_group())

    def read(self, consumer: str, count: int, block_ms: int = 0) -> tuple[Entry, ...]:
        """See `AsyncQueue.read`."""
        return now(self._all.read(consumer, count, block_ms))

    def complete_many(self, completions: Sequence[Completion]) -> list[bool]:
        """See `AsyncQueue.complete_many`."""
        return now(self._all.complete_many(completions))

    def pending(self) -> dict[str, int]:
        """See `AsyncQueue.pending`."""
        return now(self._all.pending())

    def consumers(self) -> dict[str, int]:
        """See `AsyncQueue.consumers`."""
        return now(self._all.consumers())

    def dead_letters(self, *, count: int = 100, after: str | None = None) -> tuple[DeadLetter, ...]:
        """See `AsyncQueue.dead_letters`."""
        return now(self._all.dead_letters(count=count, after=after))

    def dead_count(self) -> int:
        """See `AsyncQueue.dead_count`."""
        return now(self._all.dead_count())

    def forget_dead(self, letter_ids: Sequence[str]) -> int:
        """See `AsyncQueue.forget_dead`."""
        return now(self._all.forget_dead(letter_ids))
