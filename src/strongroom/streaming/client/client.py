"""The typed client of a queue, for threads: submit records, hold tickets, ask them for results.

    with Client(host="queue.example", ca="ca.pem", cert="client.pem", key="client.key") as client:
        ticket = client.submit({"t": array}, deadline_ms=2000)
        print(ticket.result(timeout_s=5).outputs)

Whichever thread waits for a result asks Redis for all of them; the others are told. Source: spec `cluster-serving.md`
sections 6 and 11.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from strongroom.clusterserving.faults import QueueFull, ServingError
from strongroom.clusterserving.values import Result
from strongroom.streaming.client.core import Core, Draft, Submission
from strongroom.streaming.client.engine import Engine
from strongroom.streaming.client.settings import Settings
from strongroom.streaming.client.tickets import Held, ResultTimeout, Wait
from strongroom.streaming.link.calls import Call
from strongroom.streaming.link.queue import Queue, now

T = TypeVar("T")
SLICE_MS: Final = 500  # how long Redis is asked to wait at a time
FULL_PAUSE_S: Final = 0.01
LONGEST_FULL_PAUSE_S: Final = 0.5


class Ticket(Held):
    """One record that was submitted, and the way to its result."""

    __slots__ = ("_client",)

    def __init__(self, client: Client, wait: Wait) -> None:
        super().__init__(wait)
        self._client = client

    def result(self, timeout_s: float | None = None) -> Result:
        """Return the result, waiting for it. Raises the ServingError that stands for it, ResultTimeout."""
        self._client.wait_for([self._wait], timeout_s)
        return self._wait.answer()


class Client:
    """A client of one queue. Its methods may be called by any thread."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  # the words of Settings.of
        """`host`, `port`, `name`, `ca`, `cert`, `key`, `username`, `password_file`, `seal_to`, `owner_key` and others.

        docs/queue-clients.md lists them. Raises BadQueueOption, RedisPlaintext, RedisSetup. Connects when first used.
        """
        self._begin(Settings.of(options, form="raw"))

    @classmethod
    def with_settings(cls, settings: Settings) -> Self:
        """Return a client with settings that were made before."""
        client = cls.__new__(cls)
        client._begin(settings)  # noqa: SLF001  # its own
        return client

    def _begin(self, settings: Settings) -> None:
        self.settings = settings
        self._process = os.getpid()
        self.core = Core(settings)
        self._queue = Queue(settings.place, settings.job)
        self.engine = Engine(self.core, self._run)
        self._leader = threading.Lock()  # who asks Redis for results
        self._news = threading.Condition()
        self._state = threading.Lock()  # of the core, for moments

    async def _run(self, call: Call[T]) -> T:
        if self._process != os.getpid():
            self._after_fork()
        return self._queue.run(call)

    def _after_fork(self) -> None:
        """Begin anew in a child: connections, and a made-up name on reply lists, are the parent's."""
        self._queue.close()
        self._begin(self.settings)

    def submit(
        self, inputs: Mapping[str, Any], uri: str | None = None, *, deadline_ms: int | None = None,
        idempotency_key: str | None = None, wait_s: float = 0.0,
    ) -> Ticket:  # fmt: skip
        """Send one record; where the queue is full try again for `wait_s`.

        Raises QueueFull (which says how much waits), NotReady, TooLarge, BadRecord, BadImage, InvalidUri, Conflict,
        Unauthorized, UriBusy; RedisAway with `unsure` where it may have been taken: submit it again with the same
        idempotency key, or not at all.
        """
        submission = Submission(
            inputs=inputs, uri=uri, deadline_ms=deadline_ms, idempotency_key=idempotency_key
        )  # fmt: skip
        ticket = self.submit_many([submission], wait_s=wait_s)[0]
        if ticket._wait.problem is not None:  # noqa: SLF001  # its own
            raise ticket._wait.problem  # noqa: SLF001  # its own
        return ticket

    def submit_many(
        self, submissions: Iterable[Submission | Mapping[str, Any]], *, wait_s: float = 0.0
    ) -> list[Ticket]:
        """Send records, many in one round trip. A record that is refused has a ticket too, which raises why.

        Raises what makes a record unfit before anything is sent, and RedisAway.
        """
        return [Ticket(self, wait) for wait in self.send(submissions, wait_s=wait_s)]

    def send(
        self, submissions: Iterable[Submission | Mapping[str, Any]], *, wait_s: float = 0.0, awaited: bool = True
    ) -> list[Wait]:
        """As `submit_many`, without tickets; with `awaited` false nobody here will ask for the results."""
        if self._process != os.getpid():
            self._after_fork()
        now(self.engine.learn())
        with self._state:
            drafts = [self.core.draft(each if isinstance(each, Submission) else Submission(inputs=each))
                      for each in submissions]  # fmt: skip
        try:
            return self._sent(drafts, time.monotonic() + wait_s, awaited=awaited)
        except BaseException:  # there will be no tickets for those that were taken, either
            self.core.waits.drop([draft.wait for draft in drafts])
            raise

    def _sent(self, drafts: Sequence[Draft], end_s: float, *, awaited: bool) -> list[Wait]:
        waits, pause = now(self.engine.submit(drafts, awaited=awaited)), FULL_PAUSE_S
        while (full := _full(waits)) and time.monotonic() < end_s:
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_FULL_PAUSE_S)
            for place in full:
                waits[place].problem = None
            again = now(self.engine.submit([drafts[place] for place in full], awaited=awaited))
            for place, wait in zip(full, again, strict=True):
                waits[place] = wait
        if refused := [waits[place] for place in full]:
            sentence = now(self.engine.explained(refused[0]))
            for each in refused:
                each.problem = QueueFull(sentence, uri=each.uri)
        return waits

    def predict(self, inputs: Mapping[str, Any], *, timeout_s: float | None = None, wait_s: float = 0.0) -> Result:
        """Send one record and return its result; workers drop it once nobody waits for it any longer.

        Raises what `submit` and `Ticket.result` raise.
        """
        timeout_s = self.settings.wait_s if timeout_s is None else timeout_s
        deadline_ms = max(1, int(1000 * timeout_s))
        return self.submit(inputs, deadline_ms=deadline_ms, wait_s=wait_s).result(timeout_s)

    def as_completed(self, tickets: Iterable[Ticket], timeout_s: float | None = None) -> Iterator[Ticket]:
        """Yield tickets as their results come. Raises ResultTimeout when it takes longer than `timeout_s` in all."""
        left = dict.fromkeys(tickets)
        end = self._end(timeout_s)
        while left:
            ready = [each for each in left if each.done]
            for each in ready:
                del left[each]
                yield each
            if left and not ready:
                self._wait_any([each._wait for each in left], end)  # noqa: SLF001  # its own

    def results(self, tickets: Sequence[Ticket], timeout_s: float | None = None) -> list[Result]:
        """Return the results of tickets in their order; errors are in `Result.error`. Raises ResultTimeout."""
        self.wait_for([each._wait for each in tickets], timeout_s)  # noqa: SLF001  # its own
        return [_result(each._wait) for each in tickets]  # noqa: SLF001  # its own

    def wait_for(self, waits: Sequence[Wait], timeout_s: float | None) -> None:
        """Wait until all of these are done. Raises ResultTimeout; they can be waited for again then."""
        end = self._end(timeout_s)
        while left := [each for each in waits if not each.done]:
            self._wait_any(left, end)

    def _wait_any(self, waits: Sequence[Wait], end_s: float) -> None:
        """Wait until something came, or a moment has passed. Raises ResultTimeout at the end."""
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            raise ResultTimeout(f"{waits[0].uri} and {len(waits) - 1} others have no result yet" if len(waits) > 1
                                else f"{waits[0].uri} has no result yet")  # fmt: skip
        if not self._leader.acquire(blocking=False):
            with self._news:
                if not any(each.done for each in waits):
                    self._news.wait(min(left_s, SLICE_MS / 1000))
            return
        try:
            done = now(self.engine.collect(waits, self._patience_ms(waits, left_s)))
        finally:
            self._leader.release()
            with self._news:
                self._news.notify_all()
        if not done and self.settings.original:
            time.sleep(min(left_s, self.core.waits.next_look_s(waits, time.monotonic())))

    def _patience_ms(self, waits: Sequence[Wait], left_s: float) -> int:
        next_s = self.core.waits.next_look_s(waits, time.monotonic())
        return max(1, int(min(1000 * left_s, SLICE_MS, max(1.0, 1000 * next_s))))

    def _end(self, timeout_s: float | None) -> float:
        return time.monotonic() + (self.settings.wait_s if timeout_s is None else timeout_s)

    def close(self) -> None:
        """Delete this client's reply list and close the connections."""
        try:
            now(self.engine.leave())
        finally:
            self._queue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _full(waits: Sequence[Wait]) -> list[int]:
    return [place for place, each in enumerate(waits) if isinstance(each.problem, QueueFull)]


def _result(wait: Wait) -> Result:
    try:
        return wait.answer()
    except ServingError as problem:
        return Result(wait.uri, wait.entry_id, error=problem)
