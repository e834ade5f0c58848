"""What a client does with its queue, step by step. Knows no threads and no event loop: `run` carries each call out.

With a `run` that waits where it stands the steps are never suspended, so one text serves threads and coroutines alike.
Source: spec `cluster-serving.md` sections 11.3, 11.4 and, for the original's server, 5.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

from strongroom.clusterserving.faults import ServingError
from strongroom.clusterserving.names import GROUP
from strongroom.streaming.client.core import BATCH, LINGER_MS, MAX_REPLIES, Core, Draft, batches, settled
from strongroom.streaming.client.tickets import Wait
from strongroom.streaming.link.calls import Call, ClientCalls, pairs, sound
from strongroom.streaming.link.queue import Bounds
from strongroom.streaming.link.records import RawFields
from strongroom.streaming.link.replies import Reply

T = TypeVar("T")
SHORT_MS: Final = 1  # shorter waits are none: Redis may end them a tenth of a second late


class Run(Protocol):
    """Carries a call out: `AsyncQueue.run`, or `Queue.run` in a coroutine that never waits."""

    def __call__(self, call: Call[T], /) -> Awaitable[T]:
        """Return what the call reads."""


class Engine:
    """The steps of one client."""

    def __init__(self, core: Core, run: Run, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self.core = core
        self._run = run
        self._now_s = now_s
        self._calls = self._bounded(Bounds())
        self._taken: list[str] = []  # keys of results that were read, to be deleted with the next call

    def _bounded(self, bounds: Bounds) -> ClientCalls:
        settings = self.core.settings
        return ClientCalls(settings.job, bounds, settings.place.spelled)

    async def learn(self) -> None:
        """Ask the workers what they take, unless that is known."""
        if self.core.facts_are_old(self._now_s()):
            names = await self._run(self._calls.worker_names())
            workers = await self._run(self._calls.worker_states(names))
            self._calls = self._bounded(self.core.learn(workers, self._now_s()))

    async def submit(self, drafts: Sequence[Draft], *, awaited: bool = True) -> list[Wait]:
        """Send records; each wait has an entry id then, or the problem that refused it."""
        waits: list[Wait] = []
        for portion in batches(drafts):
            for draft in portion if awaited else ():  # before they are sent: a result may come at once
                self.core.waits.add(draft.wait)
            try:
                outcomes = await self._run(self._admission(portion))
            except BaseException:  # nobody is told of those that were taken before, either
                self.core.waits.drop([draft.wait for draft in drafts])
                raise
            waits += [settled(draft, outcome) for draft, outcome in zip(portion, outcomes, strict=True)]
        self.core.waits.drop([each for each in waits if each.done])
        return waits

    def _admission(self, portion: Sequence[Draft]) -> Call[list[str | ServingError]]:
        if self.core.settings.original:
            return plain_admission(self.core.settings.job.stream, [draft.admission.fields for draft in portion])
        return self._calls.admit([draft.admission for draft in portion])

    async def explained(self, refused: Wait) -> str:
        """Say why a record was refused and how much waits for whom."""
        backlog = await self._run(self._calls.backlog())
        why = refused.problem.sentence if refused.problem is not None else "the queue is full"
        return f"{why}: {self.core.facts.spelled(backlog)}"

    async def collect(self, awaited: Sequence[Wait], wait_ms: int) -> list[Wait]:
        """Wait for notices of results, at most so long, and take the results; return the waits that are done.

        Without notices, `awaited` are looked for by themselves now and then.
        """
        named: list[Wait] = []
        if not self.core.settings.original:
            wait_ms = wait_ms if wait_ms > SHORT_MS else 0
            told = await self._run(self._calls.replies(self.core.name, MAX_REPLIES, wait_ms))
            named = self.core.waits.named(told)
        known = set(named)
        asked = [*named, *(each for each in self.core.waits.due(awaited, self._now_s()) if each not in known)]
        done: list[Wait] = []
        for at in range(0, len(asked), BATCH):
            done += await self._take(asked[at : at + BATCH])
        return done

    async def _take(self, asked: Sequence[Wait]) -> list[Wait]:
        """Read results; those that are ours alone live on for a moment (a reply may be lost), until the next call."""
        uris, entry_ids = [each.uri for each in asked], [each.entry_id for each in asked]
        if self.core.settings.original:
            found = await self._run(self._and_tidy(plain_results(self._keys(uris))))
        else:
            kept = all(each.kept for each in asked)
            call = self._calls.results(uris, entry_ids=entry_ids, after="keep" if kept else str(LINGER_MS))
            found = await self._run(self._and_tidy(call))
        done = self.core.waits.take(asked, found)
        self._taken += [self.core.settings.job.result(each.uri) for each in done if each.own_uri]
        if self.core.settings.original and self._taken:  # nothing there ever expires
            await self._run(self._and_tidy(Call((), lambda _: None)))
        if chosen := [each for each in done if not each.own_uri and not each.kept]:
            await self._forget_chosen(chosen)
        return done

    def _and_tidy(self, call: Call[T]) -> Call[T]:
        """Let a call delete the results taken before it as well, which saves a round trip for each."""
        if not self._taken:
            return call
        command = ("UNLINK", *self._taken)
        self._taken = []
        return replace(call, commands=(*call.commands, command), read=lambda got: call.read(got[:-1]))

    async def _forget_chosen(self, waits: Sequence[Wait]) -> None:
        """Delete results whose names the caller chose, where no later record of that name has taken their place."""
        uris = [each.uri for each in waits]
        if self.core.settings.original:
            await self._run(self._calls.forget(uris))
        else:
            entry_ids = [each.entry_id for each in waits]
            await self._run(self._calls.results(uris, entry_ids=entry_ids, after="delete"))

    def _keys(self, uris: Sequence[str]) -> list[str]:
        return [self.core.settings.job.result(uri) for uri in uris]

    async def query(self, uri: str, *, forget: bool) -> RawFields | None:
        """Return the result of any record of the job, None while there is none; `forget` deletes it."""
        return (await self.query_many([uri], forget=forget))[0]

    async def query_many(self, uris: Sequence[str], *, forget: bool) -> list[RawFields | None]:
        """As `query`, for many."""
        if self.core.settings.original:
            found = await self._run(plain_results(self._keys(uris)))
        else:
            after = str(LINGER_MS) if forget else "keep"
            found = await self._run(self._calls.results(uris, entry_ids=None, after=after))
        if forget and (there := [uri for uri, fields in zip(uris, found, strict=True) if fields is not None]):
            await self._run(self._calls.forget(there))
        return found

    async def replies(self) -> list[str]:
        """Return the uris that the reply list names, without waiting."""
        return await self._run(self._calls.replies(self.core.name, MAX_REPLIES, 0))

    async def scan(self, cursor: str) -> tuple[str, list[str]]:
        """Return some uris that have results, of everybody's records, and the cursor that goes on."""
        return await self._run(self._calls.scan(cursor))

    async def leave(self) -> None:
        """Delete what was taken, and the reply list of a client whose name was made up and will not come again."""
        if self._taken:
            await self._run(self._and_tidy(Call((), lambda _: None)))
        if self.core.settings.client is None and self.core.reply is not None:
            await self._run(Call((("UNLINK", self.core.reply),), lambda got: sound(got[0])))

    async def make_group(self) -> None:
        """Make the group of an original server's queue if there is a stream already, as the original's client does."""
        command = ("XGROUP", "CREATE", self.core.settings.job.stream, GROUP, "$")
        await self._run(Call((command,), lambda _: None))


def plain_admission(stream: str, records: Sequence[Mapping[str, Any]]) -> Call[list[str | ServingError]]:
    """Send records as the original's client does: uri and data, straight into the stream."""

    def read(got: list[Reply]) -> list[str | ServingError]:
        return [sound(each).decode() for each in got]

    commands = tuple(("XADD", stream, "*", "uri", each["uri"], "data", each["data"]) for each in records)
    return Call(commands, read, repeatable=False)


def plain_results(keys: Sequence[str]) -> Call[list[RawFields | None]]:
    """Read results as the original's client does."""
    commands = tuple(("HGETALL", key) for key in keys)
    return Call(commands, lambda got: [pairs(sound(each)) or None for each in got])
