"""HTTP/2 on one connection: events of a session to gRPC calls, streams and REST requests, and their answers back.

A unary call makes no task and no future: its message goes to the table of methods, its reply to the session, and what
a round of events made is written at once. Source: "gRPC over HTTP2" (PROTOCOL-HTTP2.md), RFC 9113, spec
`serving-performance.md` section 2, threats SV-12, SV-17.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from strongroom.errors import StrongroomError
from strongroom.serving.fronts import grpc_wire
from strongroom.serving.fronts.connection import Connection
from strongroom.serving.fronts.connection_age import Ageing, Lifetime
from strongroom.serving.fronts.grpc_streams import OpenCall
from strongroom.serving.fronts.rest_front import SMALL_ANSWER_BYTES, TOO_MANY_ANSWERS, Answer, Answerer, affordable
from strongroom.serving.fronts.streams import Opener
from strongroom.serving.http1 import Request as HttpRequest
from strongroom.serving.http2 import (
    ALIGNED_FROM_BYTES,
    Cancelled,
    ConnectionFailed,
    Data,
    Ended,
    Framing,
    Headers,
    Opened,
    Request,
    SessionSettings,
    open_session,
)
from strongroom.serving.requests.rpc import Method
from strongroom.serving.requests.tickets import Ticket
from strongroom.serving.status import BadCall, Overloaded, status_of
from strongroom.tfserving.codes import Code

WRITE_BYTES: Final = 256 * 1024
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What is served over HTTP/2: gRPC methods and streams by path, REST (or None), and within which limits."""

    methods: Mapping[str, Method] = field(default_factory=dict)
    streams: Mapping[str, Opener] = field(default_factory=dict)
    rest: Answerer | None = None
    place: Callable[[], int] = lambda: 0  # where the tensor of a large message begins, as far as is known
    max_message_bytes: int
    settings: SessionSettings
    lifetime: Lifetime


@dataclass(slots=True)
class _Plan:
    """What the headers of a call say; kept while a connection repeats them."""

    headers: Headers
    timeout_s: float | None = None
    encoding: bytes = b"identity"
    refusal: StrongroomError | None = None

    @classmethod
    def read(cls, headers: Headers, problem: StrongroomError | None) -> _Plan:
        plan, named = cls(headers, refusal=problem), dict(headers)
        try:
            grpc_wire.check_te(named)
            plan.encoding = grpc_wire.encoding_of(named)
            if b"grpc-timeout" in named:
                plan.timeout_s = grpc_wire.timeout_of(named[b"grpc-timeout"])
        except StrongroomError as found:
            plan.refusal = problem or found
        return plan


class Http2:
    """HTTP/2 on one connection."""

    def __init__(self, connection: Connection, offer: Offer) -> None:
        self._connection, self._offer = connection, offer
        self._methods = offer.methods
        self._session = open_session(offer.settings)
        self._session.align = offer.place()
        self._ageing = Ageing(connection, self._session, offer.lifetime)
        self._calls: dict[int, Ticket | None] = {}
        self._tasks: dict[int, asyncio.Future[Answer]] = {}
        self._open: dict[int, OpenCall] = {}
        self._plan = _Plan(())
        self._receiving = self._scheduled = False
        self._memory = connection.front.memory
        self.held_bytes = 0  # as the front counts them

    # What a connection calls.

    @property
    def idle(self) -> bool:
        """Whether no stream is open."""
        return not self._session.open_streams

    @property
    def place(self) -> None:
        """Anywhere: frames have to be taken apart."""

    def receive(self, data: memoryview) -> None:
        """Take what arrived, act on it, write what that made."""
        self._receiving = True
        for event in self._session.receive(data, self._connection.heard):
            self._act(event)
        self._receiving = False
        self.flush()

    @property
    def untaken_bytes(self) -> int:
        """Bytes of answers that the peer has not taken."""
        return self._session.unsent_bytes

    def shed(self) -> None:
        """Refuse the requests that are arriving."""
        for event in self._session.shed():
            self._act(event)
        self.flush()

    def resume(self) -> None:
        """Write what waited for room."""
        self.flush()

    def eof(self) -> bool:
        """Keep a connection whose peer sends nothing more while it has calls."""
        return bool(self._calls or self._tasks)

    def lost(self) -> None:
        """Give up what nobody waits for."""
        self._memory.account(-self.held_bytes)
        self.held_bytes = 0
        for ticket in self._calls.values():
            if ticket is not None:
                ticket.cancel()
        self._calls.clear()
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            task.cancel()
        for call in tuple(self._open.values()):
            call.close()

    def drain(self) -> None:
        """Say GOAWAY in two steps, so that no request that is on its way is lost; end what would never end."""
        for call in tuple(self._open.values()):
            call.finish(Code.UNAVAILABLE, "the server is stopping")
        self._ageing.leave()
        self.flush()

    def sweep(self, now: float) -> None:
        """Enforce patience, age and deadlines."""
        for call in tuple(self._open.values()):
            call.sweep(now)
        for event in self._ageing.sweep(now):
            self._act(event)
        self.flush()

    def flush(self) -> None:
        """Write what there is to write, while the peer takes it."""
        connection, session = self._connection, self._session
        self._scheduled = False
        while connection.writable and session.wants_write:
            data = session.send(WRITE_BYTES)
            if not data:
                break
            connection.write(data)
            self._ageing.sent_bytes += len(data)
        held = session.pending_body_bytes + session.unsent_bytes
        if held != self.held_bytes:
            change, self.held_bytes = held - self.held_bytes, held
            self._memory.account(change)
            if change > 0 and self._memory.short and session.arriving:
                self._memory.wait(connection)
        if session.ended and not connection.closing:
            connection.close()

    def flush_soon(self) -> None:
        """Write at the end of this round of the loop, together with whatever else it makes."""
        if not self._receiving and not self._scheduled:
            self._scheduled = True
            self._connection.loop.call_soon(self._flush_scheduled)

    def _flush_scheduled(self) -> None:
        if self._scheduled:
            self.flush()

    # Events.

    def _act(self, event: object) -> None:
        kind = type(event)
        if kind is Request:
            self._request(event)  # type: ignore[arg-type]  # told by its type
        elif isinstance(event, Cancelled):
            self._cancel(event.stream)
        elif isinstance(event, Opened):
            self._opened(event)
        elif isinstance(event, Data) and (call := self._open.get(event.stream)) is not None:
            call.receive(event.chunk)
        elif isinstance(event, Ended) and (call := self._open.get(event.stream)) is not None:
            call.ended()
        elif isinstance(event, ConnectionFailed):
            _log.debug("an HTTP/2 connection failed: %s", event.reason)
            self.lost()

    def _request(self, request: Request) -> None:
        stream, verb, path, headers, message, framing = request
        if framing == Framing.HTTP:
            self._http(request)
            return
        plan = self._plan
        if plan.headers is not headers:
            plan = self._plan = _Plan.read(headers, self._connection.problem)
        method = self._methods.get(path)
        if method is None or framing != Framing.MESSAGE or plan.refusal is not None or verb != "POST":
            found = self._checked(request, plan)
            if found is None or method is None:
                return
            message = found
        deadline = None
        if plan.timeout_s is not None:
            deadline = self._connection.heard + plan.timeout_s
            if plan.timeout_s <= 0:
                self._session.grpc_fail(stream, Code.DEADLINE_EXCEEDED, grpc_wire.DEADLINE_PASSED)
                return
        if self._memory.full:
            self._fail(stream, Overloaded("the server holds as many requests as it can"))
            return
        self._calls[stream] = None
        ticket = method(message, deadline, partial(self._reply, stream))
        if len(message) >= ALIGNED_FROM_BYTES:
            self._session.align = self._offer.place()
        if ticket is not None and stream in self._calls:
            self._calls[stream] = ticket

    def _checked(self, request: Request, plan: _Plan) -> bytes | memoryview | None:
        """Return the message of a call that is out of the ordinary, or answer it and return None."""
        try:
            if request.method != "POST":
                raise BadCall("Bad method header")
            if plan.refusal is not None:
                raise plan.refusal
            if request.path not in self._methods:
                self._session.grpc_fail(request.stream, Code.UNIMPLEMENTED, grpc_wire.METHOD_NOT_FOUND)
                return None
            if request.framing == Framing.BROKEN:
                raise BadCall("the body is not exactly one whole message")
            if request.framing == Framing.COMPRESSED:
                return grpc_wire.expanded(request.body, plan.encoding, max_bytes=self._offer.max_message_bytes)
        except StrongroomError as problem:
            self._fail(request.stream, problem)
            return None
        return request.body

    def _reply(self, stream: int, outcome: bytes | StrongroomError) -> None:
        """Answer a call, unless its peer has given it up."""
        if stream not in self._calls:
            return
        del self._calls[stream]
        if isinstance(outcome, StrongroomError):
            self._fail(stream, outcome)
        elif len(outcome) <= SMALL_ANSWER_BYTES:
            self._session.grpc_reply(stream, outcome)
        else:
            self._reply_at_length(stream, outcome)
        self.flush_soon()

    def _reply_at_length(self, stream: int, message: bytes) -> None:
        """Give a large answer, unless answers that others do not take fill the memory; count it at once."""
        if self._memory.full:
            self._fail(stream, Overloaded(TOO_MANY_ANSWERS))
        else:
            self._session.grpc_reply(stream, message)
        self.flush()

    def _fail(self, stream: int, problem: StrongroomError) -> None:
        code, text = status_of(problem)
        if isinstance(problem, grpc_wire.UnknownEncoding):
            self._session.respond(stream, 200, grpc_wire.unknown_encoding_headers(text), b"")
        else:
            self._session.grpc_fail(stream, code, text)

    def _cancel(self, stream: int) -> None:
        ticket = self._calls.pop(stream, None)
        if ticket is not None:
            ticket.cancel()
        if (task := self._tasks.pop(stream, None)) is not None:
            task.cancel()
        if (call := self._open.get(stream)) is not None:
            call.close()

    # Streams.

    def _opened(self, opened: Opened) -> None:
        plan = _Plan.read(opened.headers, self._connection.problem)
        content_type = dict(opened.headers).get(b"content-type", b"")
        if not grpc_wire.is_grpc(content_type):
            self._session.respond(opened.stream, 415, (), b"")
        elif plan.refusal is not None or opened.method != "POST":
            self._fail(opened.stream, plan.refusal or BadCall("Bad method header"))
        else:
            deadline = None if plan.timeout_s is None else self._connection.heard + plan.timeout_s
            self._open[opened.stream] = OpenCall(
                opened.stream, self._session, self._offer.streams[opened.path],
                encoding=plan.encoding, deadline=deadline, flush=self.flush_soon, forget=self._open.pop,
            )  # fmt: skip

    # REST.

    def _http(self, request: Request) -> None:
        """Answer what is not gRPC: REST, where it is served here."""
        if self._offer.rest is None:
            self._session.respond(request.stream, 415, ((b"content-type", b"text/plain"),), b"gRPC only\n")
            return
        if self._connection.problem is not None:
            body = json.dumps({"error": self._connection.problem.sentence}).encode()
            self._respond(request.stream, Answer(401, body))
            return
        if self._memory.full:
            body = json.dumps({"error": "the server holds as many requests as it can"}).encode()
            self._respond(request.stream, Answer(429, body))
            return
        asked = HttpRequest(
            method=request.method, target=request.path.encode("latin-1"), headers=_text_headers(request.headers),
            body=request.body, keep_alive=True,
        )  # fmt: skip
        task = asyncio.ensure_future(self._offer.rest(asked))
        self._tasks[request.stream] = task
        task.add_done_callback(partial(self._answered, request.stream))

    def _answered(self, stream: int, task: asyncio.Future[Answer]) -> None:
        if self._tasks.pop(stream, None) is None or task.cancelled():
            return
        self._respond(stream, affordable(task.result(), self._memory))
        self.flush_soon()

    def _respond(self, stream: int, answer: Answer) -> None:
        headers = [(b"content-type", answer.content_type.encode("latin-1"))]
        headers += [(name.lower().encode("latin-1"), str(value).encode("latin-1", "replace"))
                    for name, value in answer.headers.items()]  # fmt: skip
        self._session.respond(stream, answer.status, headers, answer.body)


def _text_headers(headers: Headers) -> dict[str, str]:
    """Return headers as HTTP/1.1's reader gives them: text, repeated ones joined by commas."""
    found: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found
