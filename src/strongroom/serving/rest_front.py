"""REST over asyncio: connections, deadlines, order of answers, drain. What to answer is the `RestRoutes`' business.

One request of a connection is answered at a time, in order; what a peer pipelines beyond a few waits in its own socket.
A peer that sends or reads slowly is cut off. Source: spec `model-server.md` section 4, threats SV-01, SV-12, SV-17.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from strongroom.serving.http1 import Refusal, Request, RequestReader

Answerer = Callable[[Request], Awaitable["Answer"]]

MAX_PIPELINED: Final = 8
MAX_CONNECTIONS: Final = 2048
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: HTTP status, body, headers beyond type and length."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestSettings:
    """Sizes in bytes and patience in seconds. Bodies and answers get a second more for every 64 KiB."""

    max_body_bytes: int
    idle_s: float = 75.0
    headers_s: float = 10.0
    body_s: float = 30.0
    write_s: float = 30.0
    handshake_s: float = 10.0
    bytes_per_second: int = 64 * 1024


class RestFront:
    """The listener and its connections."""

    def __init__(
        self, answer: Answerer, settings: RestSettings, *, accepts: Callable[[bytes], bool] | None = None
    ) -> None:
        self.answer, self.settings, self.accepts = answer, settings, accepts
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext | None) -> int:
        """Listen; return the port. Raises OSError where the address cannot be used."""
        timeouts: dict[str, Any] = {}
        if context is not None:
            timeouts = {"ssl_handshake_timeout": self.settings.handshake_s, "ssl_shutdown_timeout": 5.0}
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self), host, port, ssl=context, reuse_port=True, backlog=512, **timeouts
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Take no new connections; finish requests that arrived, for at most `grace_s` seconds; close."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self.connections):
            connection.drain()
        ends = asyncio.get_running_loop().time() + grace_s
        while self.connections and asyncio.get_running_loop().time() < ends:
            await asyncio.wait([connection.closed for connection in self.connections], timeout=grace_s)
        for connection in list(self.connections):
            connection.abort()


class _Connection(asyncio.Protocol):
    """One peer: bytes to requests, requests to answers, in order."""

    def __init__(self, front: RestFront) -> None:
        self._front, self._settings = front, front.settings
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader(max_body_bytes=front.settings.max_body_bytes)
        self._waiting: deque[Request | Refusal] = deque()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._began = self._loop.time()  # when the arriving request began, or the connection
        self._last = self._paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set when the connection is made

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Check the peer and wait for its first request."""
        self._transport = transport  # type: ignore[assignment]  # TCP and TLS transports are Transports
        self._front.connections.add(self)
        if len(self._front.connections) > MAX_CONNECTIONS:
            self.abort()
            return
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is not None and self._front.accepts is not None:
            shown = tls.getpeercert(binary_form=True)
            if not self._front.accepts(shown or b""):
                self._end_with(Refusal(401, "the client's certificate does not have the extended key usage clientAuth"))
                return
        self._until(self._began + self._settings.headers_s, self._cut_off)

    def data_received(self, data: bytes) -> None:
        """Read what came; answer what is complete."""
        if not self._reader.arriving:
            self._began = self._loop.time()
        self._waiting.extend(self._reader.receive(data))
        if self._waiting and self._task is None:
            self._cancel_timer()
            self._task = self._loop.create_task(self._answer_all())
        elif self._task is None:
            self._await_more()
        if len(self._waiting) >= MAX_PIPELINED and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Let a peer that only stopped sending have its answer (TLS always closes both ways)."""
        self._last = True
        return self._task is not None and self._transport.get_extra_info("ssl_object") is None

    def pause_writing(self) -> None:
        """Wait for a slow reader, for a while."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the peer; a run that nobody waits for is given up."""
        del exc
        self._cancel_timer()
        self._front.connections.discard(self)
        if self._task is not None:
            self._task.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    # What the front calls.

    def drain(self) -> None:
        """Close when nothing is under way; the next answer is the last."""
        self._last = True
        if self._task is None and not self._reader.arriving:
            self._transport.close()

    def abort(self) -> None:
        """Close without ceremony."""
        self._transport.abort()

    # Answers.

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                if not await self._answer_one(self._waiting.popleft()):
                    self._waiting.clear()
                    self._close()
                    return
        finally:
            self._task = None
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._began = self._loop.time()
        self._await_more()

    async def _answer_one(self, request: Request | Refusal) -> bool:
        """Answer and return whether the connection goes on."""
        if isinstance(request, Refusal):
            self._end_with(request)
            return False
        answer = await self._front.answer(request)
        goes_on = request.keep_alive and not self._last
        self._send(answer, goes_on=goes_on, with_body=request.method != "HEAD")
        return await self._taken() and goes_on

    async def _taken(self) -> bool:
        """Wait until a slow reader has taken most of what was written; cut it off otherwise."""
        if not self._writable.is_set() and not self._transport.is_closing():
            self._until(self._loop.time() + self._patience_with_reader(), self.abort)
            await self._writable.wait()
            self._cancel_timer()
        return not self._transport.is_closing()

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
        self._transport.write(head + answer.body if with_body else head)

    def _end_with(self, refusal: Refusal) -> None:
        """Say why the connection ends here, and end it."""
        if self._transport.is_closing():
            return
        self._reader.ended = self._last = True
        body = json.dumps({"error": refusal.sentence}).encode()
        self._send(Answer(refusal.status, body), goes_on=False)
        self._close()

    def _close(self) -> None:
        """Close when what was written is gone, or when a peer that does not read has had its time."""
        if self.closed.done() or self._transport.is_closing():
            return
        self._until(self._loop.time() + self._patience_with_reader(), self.abort)
        self._transport.close()

    # Deadlines.

    def _patience_with_reader(self) -> float:
        return self._settings.write_s + self._transport.get_write_buffer_size() / self._settings.bytes_per_second

    def _await_more(self) -> None:
        """Set the deadline for what the peer does next."""
        settings = self._settings
        if self._transport.is_closing():
            return
        if not self._reader.arriving:
            if self._last:
                self._close()
            else:
                self._until(self._loop.time() + settings.idle_s, self._transport.close)
            return
        if self._reader.wants_continue:
            self._reader.wants_continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        patience = settings.headers_s
        if self._reader.in_body:
            patience += settings.body_s + self._reader.body_bytes / settings.bytes_per_second
        self._until(self._began + patience, self._cut_off)

    def _cut_off(self) -> None:
        self._end_with(Refusal(408, "the request did not arrive in time"))

    def _until(self, when: float, action: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._loop.call_at(when, action)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request" if status == 499 else "Status"
