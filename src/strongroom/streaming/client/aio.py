"""The typed client of a queue, for coroutines: the twin of `client`.

    async with AsyncClient(host="queue.example", ca="ca.pem") as client:
        ticket = await client.submit({"t": array}, deadline_ms=2000)
        print((await ticket.result(timeout_s=5)).outputs)

One task asks Redis for results while there are tickets without one. Source: spec `cluster-serving.md` sections 6, 11.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from strongroom.clusterserving.faults import QueueFull, ServingError
from strongroom.clusterserving.values import Result
from strongroom.errors import StrongroomError
from strongroom.streaming.client.client import FULL_PAUSE_S, LONGEST_FULL_PAUSE_S, SLICE_MS
from strongroom.streaming.client.core import Core, Draft, Submission
from strongroom.streaming.client.engine import Engine
from strongroom.streaming.client.settings import Settings
from strongroom.streaming.client.tickets import Held, ResultTimeout, Wait
from strongroom.streaming.link.queue import AsyncQueue

LEAST_WAIT_MS: Final = 1


class AsyncTicket(Held):
    """One record that was submitted, and the way to its result."""

    __slots__ = ("_client",)

    def __init__(self, client: AsyncClient, wait: Wait) -> None:
        super().__init__(wait)
        self._client = client

    async def result(self, timeout_s: float | None = None) -> Result:
        """Return the result, waiting for it. Raises the ServingError that stands for it, ResultTimeout."""
        await self._client.wait_for([self._wait], timeout_s)
        return self._wait.answer()


class AsyncClient:
    """A client of one queue, for the coroutines of one event loop."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  # the words of Settings.of
        """As `Client`."""
        self._begin(Settings.of(options, form="raw"))

    @classmethod
    def with_settings(cls, settings: Settings) -> Self:
        """Return a client with settings that were made before."""
        client = cls.__new__(cls)
        client._begin(settings)  # noqa: SLF001  # its own
        return client

    def _begin(self, settings: Settings) -> None:
        self.settings = settings
        self.core = Core(settings)
        self._queue = AsyncQueue(settings.place, settings.job)
        self.engine = Engine(self.core, self._queue.run)
        self._open: dict[Wait, set[asyncio.Future[None]]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._learning: asyncio.Lock | None = None

    async def submit(
        self, inputs: Mapping[str, Any], uri: str | None = None, *, deadline_ms: int | None = None,
        idempotency_key: str | None = None, wait_s: float = 0.0,
    ) -> AsyncTicket:  # fmt: skip
        """As `Client.submit`."""
        submission = Submission(inputs=inputs, uri=uri, deadline_ms=deadline_ms, idempotency_key=idempotency_key)
        wait = (await self._send([submission], wait_s))[0]
        if wait.problem is not None:
            raise wait.problem
        return AsyncTicket(self, wait)

    async def submit_many(
        self, submissions: Iterable[Submission | Mapping[str, Any]], *, wait_s: float = 0.0
    ) -> list[AsyncTicket]:
        """As `Client.submit_many`."""
        return [AsyncTicket(self, wait) for wait in await self._send(submissions, wait_s)]

    async def predict(
        self, inputs: Mapping[str, Any], *, timeout_s: float | None = None, wait_s: float = 0.0
    ) -> Result:
        """As `Client.predict`."""
        timeout_s = self.settings.wait_s if timeout_s is None else timeout_s
        ticket = await self.submit(inputs, deadline_ms=max(1, int(1000 * timeout_s)), wait_s=wait_s)
        return await ticket.result(timeout_s)

    async def results(self, tickets: Sequence[AsyncTicket], timeout_s: float | None = None) -> list[Result]:
        """As `Client.results`."""
        waits = [each._wait for each in tickets]  # noqa: SLF001  # its own
        await self.wait_for(waits, timeout_s)
        return [_result(each) for each in waits]

    async def _send(self, submissions: Iterable[Submission | Mapping[str, Any]], wait_s: float) -> list[Wait]:
        await self._learn()
        drafts = [self.core.draft(each if isinstance(each, Submission) else Submission(inputs=each))
                  for each in submissions]  # fmt: skip
        try:
            return await self._sent(drafts, asyncio.get_running_loop().time() + wait_s)
        except BaseException:  # there will be no tickets for those that were taken, either
            self.core.waits.drop([draft.wait for draft in drafts])
            raise

    async def _sent(self, drafts: Sequence[Draft], end_s: float) -> list[Wait]:
        waits, loop, pause = await self.engine.submit(drafts), asyncio.get_running_loop(), FULL_PAUSE_S
        while (full := [at for at, each in enumerate(waits) if isinstance(each.problem, QueueFull)]) and (
            loop.time() < end_s
        ):
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_FULL_PAUSE_S)
            for place in full:
                waits[place].problem = None
            again = await self.engine.submit([drafts[place] for place in full])
            for place, wait in zip(full, again, strict=True):
                waits[place] = wait
        if full:
            sentence = await self.engine.explained(waits[full[0]])
            for place in full:
                waits[place].problem = QueueFull(sentence, uri=waits[place].uri)
        return waits

    async def _learn(self) -> None:
        if self._learning is None:
            self._learning = asyncio.Lock()
        async with self._learning:
            await self.engine.learn()

    async def wait_for(self, waits: Sequence[Wait], timeout_s: float | None) -> None:
        """Wait until all of these are done. Raises ResultTimeout; they can be waited for again then."""
        try:
            async with asyncio.timeout(self.settings.wait_s if timeout_s is None else timeout_s):
                for each in waits:
                    while not each.done:
                        await self._news_of(each)
        except TimeoutError:
            missing = [each.uri for each in waits if not each.done]
            if missing:
                raise ResultTimeout(f"{missing[0]} has no result yet ({len(missing)} have none)") from None

    async def _news_of(self, wait: Wait) -> None:
        """Wait until a record is done, or asking for it failed, which is raised."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._open.setdefault(wait, set())
        waiting.add(news)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._collect())
        try:
            await news
        finally:
            waiting.discard(news)
            if not waiting and self._open.get(wait) is waiting:
                del self._open[wait]

    async def _collect(self) -> None:
        """Take results while somebody waits for one."""
        loop = asyncio.get_running_loop()
        problem: StrongroomError | None = None
        while self._open and problem is None:
            next_s = self.core.waits.next_look_s(self._open, loop.time())
            try:
                if self.settings.original:
                    await asyncio.sleep(next_s)
                wait_ms = int(max(LEAST_WAIT_MS, min(SLICE_MS, 1000 * next_s)))
                await self.engine.collect(list(self._open), wait_ms)
            except StrongroomError as found:
                problem = found
            for wait in [each for each in self._open if each.done or problem is not None]:
                for news in self._open.pop(wait):
                    if news.done():
                        continue
                    if problem is not None and not wait.done:
                        news.set_exception(problem)
                    else:
                        news.set_result(None)

    async def close(self) -> None:
        """Delete this client's reply list and close the connections."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        try:
            await self.engine.leave()
        finally:
            await self._queue.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _result(wait: Wait) -> Result:
    try:
        return wait.answer()
    except ServingError as problem:
        return Result(wait.uri, wait.entry_id, error=problem)
