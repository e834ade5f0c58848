"""Serve one ASGI application over TLS on one port, on the running event loop.

World: sockets. The HTTP/1.1 parser and protocol are uvicorn's over httptools; the listener is ours, because a broker
has to bound what a peer may hold before its handshake is done: connections in all and per address, time for the
handshake, time and bytes for a request's head (threats FB-16, SV-12). Plaintext is not spoken.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from strongroom.broker.operations.metrics import Metrics
from strongroom.broker.tls import ServerKeyUnusable
from strongroom.broker.web.middleware import wrapped
from strongroom.pki.client_usage import client_check
from strongroom.pki.lending import as_path
from strongroom.secret import Secret

MAX_HEAD_BYTES: Final = 32 * 1024  # a bearer token with its chain is about 8 kB
MAX_PIPELINED: Final = (
    8  # requests of one connection that wait for the answer to the one before; no client of ours does
)
CLOSE_S: Final = 30.0  # for what is still to be sent when a connection is closed, and for the peer's end of the TLS
GONE_S: Final = 2.0  # how long a stop waits for connections that are closing
_BACKLOG: Final = 512
_PAUSE_S: Final = 0.1  # after the system had no descriptor left
_log: Final = logging.getLogger("strongroom.broker.http")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """What one peer, one address and all together may take."""

    connections: int = 1024
    connections_per_address: int = 512
    handshake_s: float = 10.0
    head_s: float = 10.0  # until a request's head is there: the first one, and each later one of a connection
    body_s: float = 20.0
    body_bytes: int = 2 * 1024 * 1024
    answer_s: float = 30.0  # how long a peer may take nothing of an answer that does not fit the buffers
    drain_s: float = 10.0  # how long a stop waits for answers that have begun

    def within(self, connections: int) -> WebLimits:
        """Return limits of at most so many connections, half of them for one address."""
        most = min(self.connections, connections)
        return replace(
            self, connections=most, connections_per_address=min(self.connections_per_address, max(1, most // 2))
        )


def tls_context(certificate_pem: bytes, key_pem: Secret, *, client_ca_pem: bytes | None = None) -> ssl.SSLContext:
    """Return the context of a port; with `client_ca_pem` a caller may present a certificate of that CA.

    TLS 1.2 or newer, no tickets, no early data. Raises ServerKeyUnusable or NoMemoryFile.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # Python before 3.11.4 takes a cut connection for its end
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    try:
        with as_path(Secret(certificate_pem)) as chain, as_path(key_pem) as key:
            context.load_cert_chain(chain, key, password=_no_passphrase)
        if client_ca_pem is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(cadata=client_ca_pem.decode("ascii"))
    except (OSError, ValueError) as problem:  # SSLError is an OSError
        reason = getattr(problem, "reason", None) or type(problem).__name__
        raise ServerKeyUnusable(f"the broker's certificate or key is not usable: {reason}") from None
    return context


def _no_passphrase() -> str:
    raise ServerKeyUnusable("the broker's key is protected by a passphrase")


class WebServer:
    """One port. `start`, then `stop`; both on the event loop that runs it."""

    def __init__(
        self, application: ASGIApp, context: ssl.SSLContext, *, name: str, limits: WebLimits | None = None,
        metrics: Metrics | None = None,
    ) -> None:  # fmt: skip
        """`name` is what log and metrics call this port."""
        self._limits = limits or WebLimits()
        self._name = name
        self._metrics = metrics
        self._context = context
        guarded = wrapped(
            application, max_body_bytes=self._limits.body_bytes, body_s=self._limits.body_s, port_name=name,
            metrics=metrics,
        )  # fmt: skip
        self._config = uvicorn.Config(
            guarded, http=_Guarded, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
            date_header=False, proxy_headers=False, timeout_keep_alive=int(self._limits.head_s) or 1,
        )  # fmt: skip
        self._config.load()
        self._state = ServerState()
        self._per_address: Counter[str] = Counter()
        self._empty = asyncio.Event()  # set when the last connection has left
        self._opening: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._is_client = client_check()

    async def start(self, address: str, port: int) -> int:
        """Listen; return the port, which the system chooses where `port` is 0. Raises OSError."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family, backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._listener), name=f"accept {self._name}")
        return int(self._listener.getsockname()[1])

    def use(self, context: ssl.SSLContext) -> None:
        """Answer connections from now on with another certificate; those that are open keep theirs."""
        self._context = context

    async def stop(self) -> None:
        """Take no more connections, close the idle ones, and let answers that have begun reach their end."""
        if self._listener is None or self._accepting is None:
            return
        self._accepting.cancel()
        self._listener.close()
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(self._accepting, *self._opening, return_exceptions=True)
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=self._limits.drain_s)
        for task in [task for task in self._state.tasks if task.cancel()]:
            await asyncio.gather(task, return_exceptions=True)
        for connection in list(self._state.connections):
            if isinstance(connection, _Guarded) and not connection.transport.is_closing():
                connection.transport.abort()  # one that is closing forgets its TLS in Python before 3.11.5
        if self._per_address:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), GONE_S)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(listener)
            except OSError as problem:  # a peer that left at once, or no descriptor left
                _log.warning("%s: accept failed: %s", self._name, problem.strerror)
                await asyncio.sleep(_PAUSE_S)
                continue
            host = str(peer[0])
            if not self._admit(host):
                accepted.close()
                if self._metrics is not None:
                    self._metrics.turned_away(self._name)
                continue
            task = asyncio.create_task(self._open(accepted, host))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _admit(self, host: str) -> bool:
        limits = self._limits
        if self._per_address.total() >= limits.connections:
            return False
        if self._per_address[host] >= limits.connections_per_address:
            return False
        self._per_address[host] += 1
        self._empty.clear()
        return True

    def _leave(self, host: str) -> None:
        self._per_address[host] -= 1
        if not self._per_address[host]:
            del self._per_address[host]
        if not self._per_address:
            self._empty.set()

    async def _open(self, accepted: socket.socket, host: str) -> None:
        """Shake hands; from then on the protocol has the connection, and gives the place back at its end."""
        protocol = _Guarded(
            self._config, self._state, on_lost=lambda: self._leave(host), is_client=self._is_client,
            head_s=self._limits.head_s, answer_s=self._limits.answer_s,
        )  # fmt: skip
        try:
            # Head and body go out at once, each on its own: asyncio sees to that for sockets that name their protocol.
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, accepted, ssl=self._context, ssl_handshake_timeout=self._limits.handshake_s,
                ssl_shutdown_timeout=CLOSE_S,
            )  # fmt: skip
        except (OSError, TimeoutError) as problem:  # a peer that speaks no TLS, has another CA's certificate, or stalls
            _log.info("%s: no handshake with %s: %s", self._name, host, getattr(problem, "reason", None) or problem)
        finally:
            if not protocol.opened:
                accepted.close()
                self._leave(host)


class TooManyPipelined(Exception):
    """Ends the parsing of what a connection sent; nobody is told."""


class _Guarded(HttpToolsProtocol):
    """uvicorn's protocol with a deadline and a limit for each head, and the caller's certificate in the scope."""

    def __init__(
        self, config: uvicorn.Config, state: ServerState, *, on_lost: Callable[[], None],
        is_client: Callable[[bytes], bool], head_s: float, answer_s: float,
    ) -> None:  # fmt: skip
        super().__init__(config, state, {})
        self.opened = False
        self._on_lost = on_lost
        self._is_client = is_client
        self._head_s = head_s
        self._answer_s = answer_s
        self._stalled: asyncio.TimerHandle | None = None  # since the peer takes nothing
        self._answering: RequestResponseCycle | None = None  # which is not the last where requests wait
        self._head_bytes = 0
        self._in_head = True
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self.opened = True
        super().connection_made(transport)
        certificate = _presented(transport)
        if certificate is not None and not self._is_client(certificate):
            certificate = None  # a server's certificate is nobody's here (threat SV-15)
        application = self.app

        async def with_certificate(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["client_certificate"] = certificate
            await application(scope, receive, send)

        self.app = with_certificate
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_watch()
        self._forget_stall()
        self._give_up_answers()
        super().connection_lost(exc)
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.close()
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        if self._watch is None and (cycle is None or cycle.response_complete):
            self._expect_head()  # empty lines before a head have stopped uvicorn's own clock

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self._stalled or self.loop.call_later(self._answer_s, self._cut)

    def resume_writing(self) -> None:
        self._forget_stall()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:  # each takes a hundred times the memory of what was sent
            self._cut()
            raise TooManyPipelined("a peer sends requests and does not wait for answers")  # the parser stops
        too_long = self._in_head and self._head_length() > MAX_HEAD_BYTES
        self._in_head = False
        self._head_bytes = 0
        self._forget_watch()
        if too_long:
            self.transport.close()
            return
        super().on_headers_complete()

    def _head_length(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _expect_head(self) -> None:
        self._in_head = True
        self._forget_watch()
        self._watch = self.loop.call_later(self._head_s, self.transport.close)

    def _forget_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401  # uvicorn's own type
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _cut(self) -> None:
        """End the connection at once: what is still to be said is for nobody."""
        self._give_up_answers()
        self.transport.abort()

    def _give_up_answers(self) -> None:
        """Let the answer that is being made end quietly, and begin none of those that wait: uvicorn knows the last."""
        self.pipeline.clear()
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()

    def _forget_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


def _presented(transport: asyncio.Transport) -> bytes | None:
    connection = transport.get_extra_info("ssl_object")
    with contextlib.suppress(ValueError):  # no handshake: no certificate
        return connection.getpeercert(binary_form=True) if connection is not None else None
    return None
