"""gRPC over grpcio, the reference front end: raw bytes in, the table of methods, raw bytes out.

It is the fallback where libnghttp2 is absent (`--rpc=grpcio`), and the oracle that the fast front is compared with.
Message sizes are limited by grpcio before it assembles them, and again while it expands compressed ones.
Source: spec `model-server.md` section 1, `serving-performance.md` section 2.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio

from strongroom.errors import StrongroomError
from strongroom.pki.client_usage import client_check
from strongroom.serving.fronts.streams import Opener
from strongroom.serving.requests.rpc import Method
from strongroom.serving.status import ClientNotAuthenticated, ServerDefect, status_of
from strongroom.serving.tls import ServerTls
from strongroom.tfserving.codes import Code

_STATUS: Final = {code.value[0]: code for code in grpc.StatusCode}
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcSettings:
    """Where to listen and what to hold; `addresses` are HOST:PORT or unix:PATH."""

    addresses: Sequence[str]
    max_message_bytes: int
    shared: bool = False  # sibling processes have the port too
    channel_arguments: Sequence[tuple[str, int | str]] = field(default_factory=tuple)


class GrpcFront:
    """Methods and streams by their paths on one server of grpcio's."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        settings: GrpcSettings,
        tls: ServerTls | None,
        *,
        streams: Mapping[str, Opener] | None = None,
    ) -> None:
        self._methods, self._streams = methods, streams or {}
        self._settings, self._tls = settings, tls
        self._accepts = client_check() if tls is not None and tls.mutual else None
        self._server: Any = None

    async def start(self) -> list[int]:
        """Listen; return the ports. Raises OSError where an address cannot be used."""
        limit = self._settings.max_message_bytes
        logging.getLogger("grpc._cython.cygrpc").addFilter(worth_a_line)
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", limit),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", int(self._settings.shared)),
                *self._settings.channel_arguments,
            ]
        )
        server.add_generic_rpc_handlers(tuple(self._handlers()))
        ports = [self._listen(server, address) for address in self._settings.addresses]
        await server.start()
        self._server = server
        return ports

    async def stop(self, grace_s: float) -> None:
        """Take no new calls; let running ones finish, for at most `grace_s` seconds."""
        if self._server is not None:
            await self._server.stop(grace_s)

    def _listen(self, server: Any, address: str) -> int:  # noqa: ANN401  # grpc has no types
        try:
            if self._tls is None:
                return int(server.add_insecure_port(address))
            return int(server.add_secure_port(address, self._tls.grpc_credentials()))
        except RuntimeError:
            raise OSError(f"gRPC cannot listen on {address}: is another program using it?") from None

    def _handlers(self) -> list[Any]:
        services: dict[str, dict[str, Any]] = defaultdict(dict)
        handlers = {path: grpc.unary_unary_rpc_method_handler(self._guarded(m)) for path, m in self._methods.items()}
        for path, opener in self._streams.items():
            handlers[path] = grpc.stream_stream_rpc_method_handler(self._streamed(opener))
        for path, handler in handlers.items():
            service, _, name = path[1:].partition("/")
            services[service][name] = handler
        return [grpc.method_handlers_generic_handler(service, methods) for service, methods in services.items()]

    def _guarded(self, method: Method) -> Callable[[bytes, Any], Awaitable[bytes]]:
        """Return a handler that checks the peer, and ends every failure in one status."""

        async def handle(request: bytes, context: Any) -> bytes:  # noqa: ANN401  # grpc has no types
            try:
                self._check_peer(context)
                outcome = await _answer(method, request, context.time_remaining())
            except StrongroomError as problem:
                outcome = problem
            except Exception:  # noqa: BLE001  # a defect of ours: the peer learns that much, the log the rest
                _log.exception("a gRPC call failed in an unforeseen way")
                outcome = ServerDefect("internal error")
            if isinstance(outcome, bytes):
                return outcome
            code, text = status_of(outcome)
            await context.abort(_STATUS[code], text)
            raise AssertionError("abort raises")

        return handle

    def _streamed(self, opener: Opener) -> Callable[[AsyncIterator[bytes], Any], Awaitable[None]]:
        """Return a handler that lets a streaming call speak until either side ends it."""

        async def handle(requests: AsyncIterator[bytes], context: Any) -> None:  # noqa: ANN401  # grpc has no types
            try:
                self._check_peer(context)
                code, text = await Conversation(opener).run(requests, context.write)
            except StrongroomError as problem:
                code, text = status_of(problem)
            if code is not Code.OK:
                await context.abort(_STATUS[code], text)

        return handle

    def _check_peer(self, context: Any) -> None:  # noqa: ANN401  # grpc has no types
        if self._accepts is None:
            return
        shown = context.auth_context().get("x509_pem_cert", [b""])[0]
        if not self._accepts(shown):
            raise ClientNotAuthenticated("the client's certificate does not have the extended key usage clientAuth")


def worth_a_line(record: logging.LogRecord) -> bool:
    """Tell what of grpcio's log is kept: not the traceback that it writes for each answer whose peer has gone."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != "ExecuteBatchError"


class Conversation:
    """One streaming call on grpcio; it is the stream's Outlet. A question is read when the answers are written."""

    def __init__(self, opener: Opener) -> None:
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._end: asyncio.Future[tuple[Code, str]] = asyncio.get_running_loop().create_future()
        self._call = opener(self)

    async def run(self, requests: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]) -> tuple[Code, str]:
        """Hand messages to and fro until the call ends; return its status. Raises the StrongroomErrors of the call."""
        tasks = [asyncio.create_task(self._read(requests)), asyncio.create_task(self._write(write))]
        try:
            for task in tasks:
                task.add_done_callback(self._failed)
            return await self._end
        finally:
            for task in tasks:
                task.cancel()
            self._call.closed()

    def send(self, message: bytes) -> None:
        """Send a message."""
        self._answers.put_nowait(message)

    def finish(self, code: Code, text: str) -> None:
        """End the call, once what was sent is written."""
        if not self._end.done():
            self._end.set_result((code, text))

    def _failed(self, task: asyncio.Task[None]) -> None:
        """End the call with what went wrong in a task of it."""
        problem = None if task.cancelled() else task.exception()
        if problem is not None and not self._end.done():
            self._end.set_exception(problem)

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        async for message in requests:
            self._call.message(message)
            await self._answers.join()
        self._call.ended()
        await self._end

    async def _write(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        while not self._end.done():
            message = await self._answers.get()
            await write(message)
            self._answers.task_done()


async def _answer(method: Method, request: bytes, left_s: float | None) -> bytes | StrongroomError:
    """Call a method of the table and wait for its reply; a caller that goes away cancels it."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes | StrongroomError] = loop.create_future()

    def reply(outcome: bytes | StrongroomError) -> None:
        if not answer.done():
            answer.set_result(outcome)

    ticket = method(request, None if left_s is None else loop.time() + left_s, reply)
    try:
        return await answer
    finally:
        if ticket is not None and (answer.cancelled() or not answer.done()):
            ticket.cancel()
