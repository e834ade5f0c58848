"""REST over HTTP/1.1: deadlines, order of answers, drain. What to answer is the `RestRoutes`' business.

One request of a connection is answered at a time, in order; what a peer pipelines beyond a few waits in its own socket.
A peer that sends or reads slowly is cut off. Source: spec `model-server.md` section 4, threats SV-01, SV-12, SV-17.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from strongroom.serving.fronts.connection import Connection
from strongroom.serving.fronts.front import Front, Memory, Patience
from strongroom.serving.http1 import Refusal, Request, RequestReader

Answerer = Callable[[Request], Awaitable["Answer"]]

MAX_PIPELINED: Final = 8
SMALL_ANSWER_BYTES: Final = 16 * 1024  # are given whatever the memory is like
TOO_MANY_ANSWERS: Final = "the server holds as many answers as it can"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: HTTP status, body, headers beyond type and length."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def affordable(answer: Answer, memory: Memory) -> Answer:
    """Return an answer, or in a large one's place a refusal where bodies and answers fill the memory already."""
    if len(answer.body) <= SMALL_ANSWER_BYTES or not memory.full:
        return answer
    return Answer(429, json.dumps({"error": TOO_MANY_ANSWERS}).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class RestSettings(Patience):
    """Sizes in bytes and patience in seconds."""

    max_body_bytes: int


class RestFront(Front):
    """A front that speaks HTTP/1.1 alone: probes, and REST where HTTP/2 is not to be had."""

    def __init__(
        self, answer: Answerer, settings: RestSettings, *, accepts: Callable[[bytes], bool] | None = None
    ) -> None:
        self.answer = answer
        super().__init__(
            lambda connection: Http1(connection, answer, max_body_bytes=settings.max_body_bytes),
            settings,
            accepts=accepts,
        )

    async def start(self, host: str, port: int, context: ssl.SSLContext | None, *, shared: bool = True) -> int:
        """Listen; return the port, which other processes may share. Raises OSError where it cannot be used."""
        return await self.listen(host, port, context, shared=shared)


class Http1:
    """HTTP/1.1 on one connection: bytes to requests, requests to answers, in order."""

    def __init__(self, connection: Connection, answer: Answerer, *, max_body_bytes: int) -> None:
        self._connection, self._answer = connection, answer
        self._patience = connection.front.patience
        self._reader = RequestReader(max_body_bytes=max_body_bytes)
        self._waiting: deque[Request | Refusal] = deque()
        self._task: asyncio.Task[None] | None = None
        self._began = connection.since  # when the arriving request began, or the connection
        self._due: float | None = self._began + self._patience.headers_s
        self._when_due: Callable[[], None] = self._cut_off
        self._running_bytes = 0  # of the body that is being answered
        self.held_bytes = 0  # as the front counts them
        self._last = False
        self._room = asyncio.Event()
        if connection.problem is not None:
            self._end_with(Refusal(401, connection.problem.sentence))

    # What a connection calls.

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self._task is None and not self._reader.arriving

    @property
    def place(self) -> memoryview | None:
        """The rest of a large body that is arriving."""
        return self._reader.place

    def receive(self, data: memoryview) -> None:
        """Read what came; answer what is complete."""
        if not self._reader.arriving:
            self._began = self._connection.heard
        self._waiting.extend(self._reader.receive(data))
        self._count()
        memory = self._connection.front.memory
        if self._reader.in_body and memory.full:
            self._refuse_arriving()
        elif self._reader.in_body and memory.short:
            memory.wait(self._connection)
        if self._waiting and self._task is None:
            self._begin()
        elif self._task is None:
            self._await_more()
        if len(self._waiting) >= MAX_PIPELINED:
            self._connection.hold()

    @property
    def untaken_bytes(self) -> int:
        """Bytes of an answer that the peer has not taken."""
        return 0 if self._connection.writable else self._connection.unsent_bytes

    def shed(self) -> None:
        """Refuse the request that is arriving."""
        if self._reader.in_body:
            self._refuse_arriving()
            self._begin()

    def resume(self) -> None:
        """Go on with a peer that reads again."""
        self._room.set()

    def eof(self) -> bool:
        """Let a peer that only stopped sending have its answer."""
        self._last = True
        return self._task is not None

    def lost(self) -> None:
        """Give up a run that nobody waits for."""
        self._due = None
        self._connection.front.memory.account(-self.held_bytes)
        self.held_bytes = 0
        if self._task is not None:
            self._task.cancel()

    def drain(self) -> None:
        """Close when nothing is under way; the next answer is the last."""
        self._last = True
        if self.idle:
            self._connection.close()

    def sweep(self, now: float) -> None:
        """Enforce the deadline for what the peer, or the connection, does next."""
        if self._due is not None and now >= self._due:
            self._due = None
            self._when_due()

    # Answers.

    def _begin(self) -> None:
        if self._task is None:
            self._due = None
            self._task = self._connection.loop.create_task(self._answer_all())

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                if not await self._answer_one(self._waiting.popleft()):
                    self._waiting.clear()
                    self._connection.close()
                    return
        finally:
            self._task = None
            self._count()
        self._connection.release()
        self._began = self._connection.loop.time()
        self._await_more()

    async def _answer_one(self, request: Request | Refusal) -> bool:
        """Answer and return whether the connection goes on."""
        if isinstance(request, Refusal):
            self._end_with(request)
            return False
        self._running_bytes = len(request.body)
        answer = affordable(await self._answer(request), self._connection.front.memory)
        self._running_bytes = 0
        goes_on = request.keep_alive and not self._last
        self._send(answer, goes_on=goes_on, with_body=request.method != "HEAD")
        return await self._taken() and goes_on

    async def _taken(self) -> bool:
        """Wait until a slow reader has taken most of what was written; cut it off otherwise."""
        connection = self._connection
        if not connection.writable and not connection.closing:
            self._room.clear()
            patience = self._patience.write_s + connection.unsent_bytes / self._patience.bytes_per_second
            self._until(connection.loop.time() + patience, connection.abort)
            self._count()
            await self._room.wait()
            self._due = None
            self._count()
        return not connection.closing

    def _send(self, answer: Answer, *, goes_on: bool, with_body: bool = True) -> None:
        lines = [
            f"HTTP/1.1 {answer.status} {_phrase(answer.status)}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            *(f"{name}: {value}" for name, value in answer.headers.items()),
        ]
        if not goes_on:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        self._connection.write(head + answer.body if with_body else head)

    def _end_with(self, refusal: Refusal) -> None:
        """Say why the connection ends here, and end it."""
        if self._connection.closing:
            return
        self._reader.ended = self._last = True
        body = json.dumps({"error": refusal.sentence}).encode()
        self._send(Answer(refusal.status, body), goes_on=False)
        self._connection.close()

    def _count(self) -> None:
        """Tell the front how many bytes of bodies, and of an answer that is not taken, are held here."""
        waiting = 0
        if self._waiting:
            waiting = sum(len(each.body) for each in self._waiting if isinstance(each, Request))
        held = self._reader.body_bytes + waiting + self._running_bytes + self.untaken_bytes
        self._connection.front.memory.account(held - self.held_bytes)
        self.held_bytes = held

    def _refuse_arriving(self) -> None:
        self._waiting.append(Refusal(429, "the server holds as many requests as it can"))
        self._reader.ended = True
        self._reader.forget()
        self._count()

    # Deadlines.

    def _await_more(self) -> None:
        """Set the deadline for what the peer does next."""
        connection, patience = self._connection, self._patience
        if connection.closing:
            return
        if not self._reader.arriving:
            if self._last:
                connection.close()
            else:
                self._until(connection.loop.time() + patience.idle_s, connection.close)
            return
        if self._reader.wants_continue:
            self._reader.wants_continue = False
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        allowed = patience.headers_s
        if self._reader.in_body:
            allowed += patience.body_s + self._reader.body_bytes / patience.bytes_per_second
        self._until(self._began + allowed, self._cut_off)

    def _cut_off(self) -> None:
        self._end_with(Refusal(408, "the request did not arrive in time"))

    def _until(self, when: float, action: Callable[[], None]) -> None:
        self._due, self._when_due = when, action


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request" if status == 499 else "Status"
