"""Every operation on one job's queue, written once: each asks `run` to carry out one call or two.

`queue` has the two that run them: over coroutines and over threads. Everything raises RedisAway, RedisRefused,
RedisUnverified and RedisUnexpected besides what it says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from strongroom.clusterserving.faults import ServingError
from strongroom.clusterserving.names import Job
from strongroom.streaming.link.calls import Bounds, Call, ClientCalls
from strongroom.streaming.link.place import Place
from strongroom.streaming.link.records import (
    Admission,
    Backlog,
    Claimed,
    Completion,
    DeadLetter,
    Entry,
    Fields,
    RawFields,
    WorkerSeen,
)
from strongroom.streaming.link.worker_calls import EVERYTHING, WorkerCalls

T = TypeVar("T")


def _first(outcome: list[str | ServingError]) -> str:
    if isinstance(outcome[0], ServingError):
        raise outcome[0]
    return outcome[0]


def _after(forget: bool, linger_ms: int | None) -> str:
    if forget:
        return "delete"
    return "keep" if linger_ms is None else str(linger_ms)


class Operations(ABC):
    """What can be done with a queue; `run` says how a call reaches Redis."""

    def __init__(self, place: Place, job: Job, bounds: Bounds | None = None) -> None:
        self.place, self.job, self.bounds = place, job, bounds or Bounds()
        self._client = ClientCalls(job, self.bounds, place.spelled)
        self._worker = WorkerCalls(job, self.bounds)

    @abstractmethod
    async def run(self, call: Call[T]) -> T:
        """Carry out a call: again, with back-off, while Redis is away and a repetition does no harm."""

    # Clients and fronts

    async def admit(
        self, fields: Fields, *, idempotency_key: str | None = None, expires_in_ms: int | None = None
    ) -> str:
        """Take a record in and return its entry id.

        Raises TooLarge, QueueFull, Conflict, NotReady; RedisAway with `unsure` where it may have been taken in: only
        with an idempotency key is it sent again by itself.
        """
        return _first(await self.admit_many([Admission(fields, idempotency_key, expires_in_ms)]))

    async def admit_many(self, admissions: Sequence[Admission]) -> list[str | ServingError]:
        """Take records in, in one round trip; each gives its entry id or the error that refused it."""
        return await self.run(self._client.admit(admissions))

    async def result(
        self, uri: str, *, entry_id: str | None = None, forget: bool = False, linger_ms: int | None = None
    ) -> RawFields | None:
        """Return a result's fields, None while there is none (of that entry). Raises InvalidUri.

        `forget` deletes it in the same step; where the connection may break, `linger_ms` is better: it lives on for so
        long, so that what was lost on the way can be read again.
        """
        return (await self.results([uri], entry_ids=[entry_id], forget=forget, linger_ms=linger_ms))[0]

    async def results(
        self, uris: Sequence[str], *, entry_ids: Sequence[str | None] | None = None, forget: bool = False,
        linger_ms: int | None = None,
    ) -> list[RawFields | None]:  # fmt: skip
        """As `result`, for many in one round trip."""
        return await self.run(self._client.results(uris, entry_ids=entry_ids, after=_after(forget, linger_ms)))

    async def forget(self, uris: Sequence[str]) -> int:
        """Delete results; return how many there were."""
        return await self.run(self._client.forget(uris)) if uris else 0

    async def replies(self, client: str, *, count: int = 64, wait_ms: int = 0) -> list[str]:
        """Take the uris that a client's reply list names, waiting for the first; empty when none came.

        A break of the connection can lose a notice, never a result: look for the results themselves now and then.
        """
        return await self.run(self._client.replies(client, count, wait_ms))

    async def backlog(self) -> Backlog:
        """Say how much waits (records that workers hold included)."""
        return await self.run(self._client.backlog())

    async def workers(self) -> tuple[WorkerSeen, ...]:
        """Return every worker that was seen, with its heartbeat where it lives."""
        return await self.run(self._client.worker_states(await self.run(self._client.worker_names())))

    async def now_ms(self) -> int:
        """Return Redis' time in milliseconds since 1970: deadlines are by this clock."""
        return await self.run(self._client.clock())

    async def scan(self, cursor: str = "0") -> tuple[str, list[str]]:
        """Return some uris that have results, and the cursor that goes on (`0`: that was all). Not for every role."""
        return await self.run(self._client.scan(cursor))

    # Workers

    async def make_group(self) -> bool:
        """Make stream and group; return whether they were not there before."""
        return await self.run(self._worker.make_group())

    async def read(self, consumer: str, count: int, block_ms: int = 0) -> tuple[Entry, ...]:
        """Take up to `count` new records, waiting up to `block_ms` for the first; RedisUnexpected without a group."""
        return await self.run(self._worker.read(consumer, count, block_ms))

    async def own(self, consumer: str, count: int = 64) -> tuple[Entry, ...]:
        """Take back everything that this consumer held when it ended, with how often each was delivered."""
        found: list[Entry] = []
        after: str | None = EVERYTHING
        while after is not None:
            entries, after = await self.run(self._worker.own(consumer, count, after))
            counted = await self.run(self._worker.deliveries(consumer, entries))
            found += counted
        return tuple(found)

    async def claim(self, consumer: str, idle_ms: int, count: int, cursor: str = EVERYTHING) -> Claimed:
        """Take over records that nobody touched for `idle_ms`, with how often each was delivered."""
        claimed = await self.run(self._worker.claim(consumer, idle_ms, count, cursor))
        entries = await self.run(self._worker.deliveries(consumer, claimed.entries))
        return Claimed(entries, claimed.cursor, claimed.gone)

    async def keep(self, consumer: str, entry_ids: Sequence[str]) -> int:
        """Say that entries are still worked on, so that nobody claims them; return how many are still pending."""
        return await self.run(self._worker.keep(consumer, entry_ids))

    async def complete(self, completion: Completion) -> bool:
        """End a record with its result; False where somebody else ended it first."""
        return (await self.complete_many([completion]))[0]

    async def complete_many(self, completions: Sequence[Completion]) -> list[bool]:
        """End records in one round trip."""
        return await self.run(self._worker.complete(completions))

    async def pending(self) -> dict[str, int]:
        """Return how many records each consumer holds."""
        return await self.run(self._worker.pending())

    async def consumers(self) -> dict[str, int]:
        """Return every consumer of the group with how many records it holds."""
        return await self.run(self._worker.consumers())

    async def leave(self, consumer: str) -> bool:
        """Remove a consumer that holds nothing; return whether it is gone."""
        return not await self.run(self._worker.leave([consumer], 0))

    async def dismiss(self, consumers: Sequence[str], idle_ms: int) -> set[str]:
        """Remove consumers that hold nothing and did nothing for `idle_ms`; return those that stay."""
        return await self.run(self._worker.leave(consumers, idle_ms)) if consumers else set()

    async def heartbeat(self, consumer: str, state: str) -> None:
        """Say for ten seconds that a worker lives; `state` is JSON."""
        await self.run(self._worker.heartbeat(consumer, state))

    async def farewell(self, consumers: Sequence[str]) -> None:
        """Forget workers that ended."""
        await self.run(self._worker.farewell(consumers))

    async def dead_letters(self, *, count: int = 100, after: str | None = None) -> tuple[DeadLetter, ...]:
        """Return dead letters, oldest first, those behind `after`."""
        return await self.run(self._worker.dead_letters(count, after))

    async def dead_count(self) -> int:
        """Return how many dead letters there are."""
        return await self.run(self._worker.dead_count())

    async def forget_dead(self, letter_ids: Sequence[str]) -> int:
        """Delete dead letters; return how many there were."""
        return await self.run(self._worker.forget_dead(letter_ids)) if letter_ids else 0
