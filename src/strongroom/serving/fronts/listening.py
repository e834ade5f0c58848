"""Open every listener that the options ask for, and close them in order: `async with listening(...)`.

The server calls only this; which front end answers is decided here. World: sockets, the log.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from strongroom.pki.client_usage import client_check
from strongroom.serving.fronts.connection_age import Lifetime
from strongroom.serving.fronts.fast_front import HTTP1, HTTP2, speaking
from strongroom.serving.fronts.front import Front, Patience
from strongroom.serving.fronts.grpc_front import GrpcFront, GrpcSettings
from strongroom.serving.fronts.health_service import Health
from strongroom.serving.fronts.http2_front import Offer
from strongroom.serving.fronts.reflection import Reflection
from strongroom.serving.fronts.rest_front import Answerer, RestFront, RestSettings
from strongroom.serving.fronts.streams import Opener
from strongroom.serving.http2 import SessionSettings, available
from strongroom.serving.http2.choice import Http2Unavailable
from strongroom.serving.operations.siblings import NUMBER, Routes
from strongroom.serving.options import Options
from strongroom.serving.requests.rpc import Method, Rpc
from strongroom.serving.tls import ServerTls
from strongroom.tfserving import messages

LOOK_S: Final = 0.2  # how soon health watchers learn of a change
SPARE_FILES: Final = 256  # descriptors for everything but connections
HONOURED: Final = frozenset(
    {
        "grpc.max_connection_age_ms",
        "grpc.max_connection_age_grace_ms",
        "grpc.max_connection_idle_ms",
        "grpc.keepalive_time_ms",
        "grpc.keepalive_timeout_ms",
        "grpc.max_concurrent_streams",
        "grpc.max_receive_message_length",
        "grpc.max_metadata_size",
    }
)
_log: Final = logging.getLogger("strongroom.serving")


@asynccontextmanager
async def listening(
    options: Options, *, rpc: Rpc, routes: Routes, tls: ServerTls | None, ready: Callable[[], bool]
) -> AsyncIterator[None]:
    """Listen while the block runs; then take nothing new, finish what was accepted, close (SV-17).

    Ports are shared (SO_REUSEPORT) with this user's other servers, as TensorFlow Serving's are: a successor can start
    before its predecessor has drained. `ready` is what the health service tells.
    Raises OSError where an address cannot be used, Http2Unavailable, and what TLS refuses.
    """
    methods, streams, health = _services(options, rpc, ready)
    listeners = _Listeners(options, tls, methods=methods, streams=streams, rest=routes.answer, place=rpc.tensor_place)
    looking = asyncio.create_task(_look(health))
    try:
        await listeners.open()
        yield
    finally:
        if health is not None:
            health.look()
        await asyncio.gather(*(stop(options.listening.drain_s) for stop in listeners.stops))
        looking.cancel()


def uses_fast_front(options: Options) -> bool:
    """Return whether the fast front end serves. Raises Http2Unavailable where it was asked for and cannot be."""
    if options.listening.rpc == "grpcio":
        return False
    if available() is not None:
        return True
    if options.listening.rpc == "fast" or options.listening.one_port:
        raise Http2Unavailable("the fast front end needs the library libnghttp2, which is not on this machine")
    return False


def _services(
    options: Options, rpc: Rpc, ready: Callable[[], bool]
) -> tuple[Mapping[str, Method], Mapping[str, Opener], Health | None]:
    """Return every method and stream that is offered, and the health service if it is among them."""
    methods, streams = dict(rpc.methods), dict[str, Opener]()
    services = [messages.PREDICTION_SERVICE, messages.MODEL_SERVICE]
    health = None
    if options.monitoring.grpc_health:
        health = Health(ready)
        methods.update(health.methods)
        streams.update(health.streams)
        services.append(messages.HEALTH_SERVICE)
    if options.monitoring.reflection:
        streams.update(Reflection(services).streams)
    return methods, streams, health


async def _look(health: Health | None) -> None:
    while health is not None:
        health.look()
        await asyncio.sleep(LOOK_S)


@dataclass(slots=True)
class _Listeners:
    """What is open, and how to close it."""

    options: Options
    tls: ServerTls | None
    methods: Mapping[str, Method]
    streams: Mapping[str, Opener]
    rest: Answerer
    place: Callable[[], int]
    stops: list[Callable[[float], Awaitable[None]]] = field(default_factory=list)

    async def open(self) -> None:
        """Open them all."""
        _make_room_for(self.options.limits.max_connections)
        fast = uses_fast_front(self.options)
        if fast:
            await self._open_fast()
        else:
            if self.options.listening.rpc == "auto":
                _log.warning(
                    "libnghttp2 is not on this machine: grpcio serves gRPC, more slowly; REST has HTTP/1.1 alone"
                )
            await self._open_grpcio()
        listening = self.options.listening
        if not listening.rest_port:
            return
        if listening.rest_port == listening.grpc_port:
            if not listening.one_port:
                _log.error("--rest_api_port is the gRPC port: REST is not served")
            return
        rest = self._front({}, {}, self.rest) if fast else self._http1_front()
        self.stops.append(rest.stop)
        context = self.tls.context([HTTP2, HTTP1] if fast else [HTTP1]) if self.tls is not None else None
        port = await rest.listen(listening.bind, listening.rest_port, context, shared=True)
        _log.info("Exporting HTTP/REST API at:%s:%d ...", listening.bind, port)

    async def _open_fast(self) -> None:
        listening = self.options.listening
        self._tell_ignored_arguments()
        front = self._front(self.methods, self.streams, self.rest if listening.one_port else None)
        self.stops.append(front.stop)
        context = None
        if self.tls is not None:
            context = self.tls.context([HTTP2, HTTP1] if listening.one_port else [HTTP2])
        if listening.grpc_port:
            port = await front.listen(listening.bind, listening.grpc_port, context, shared=True)
            _log.info("Running gRPC ModelServer at %s:%d ...", listening.bind, port)
            if listening.one_port:
                _log.info("Exporting HTTP/REST API at:%s:%d ...", listening.bind, port)
        if listening.grpc_socket and is_first_process():
            front.listen_unix(listening.grpc_socket, context)
            _log.info("Running gRPC ModelServer at unix:%s ...", listening.grpc_socket)

    async def _open_grpcio(self) -> None:
        settings = grpc_settings(self.options)
        front = GrpcFront(self.methods, settings, self.tls, streams=self.streams)
        self.stops.append(front.stop)
        for address, port in zip(settings.addresses, await front.start(), strict=True):
            _log.info(
                "Running gRPC ModelServer at %s ...", address if port <= 1 else f"{self.options.listening.bind}:{port}"
            )

    def _front(self, methods: Mapping[str, Method], streams: Mapping[str, Opener], rest: Answerer | None) -> Front:
        limits = self.options.limits
        arguments = dict(self.options.listening.channel_arguments)
        offer = Offer(
            methods=methods,
            streams=streams,
            rest=rest,
            place=self.place,
            max_message_bytes=_number(arguments, "grpc.max_receive_message_length", limits.max_message_bytes),
            settings=session_settings(self.options, frozenset(streams), grpc=bool(methods)),
            lifetime=Lifetime.of(arguments),
        )
        return Front(
            speaking(offer, max_body_bytes=limits.max_body_bytes),
            Patience(),
            accepts=self._accepts(),
            max_connections=limits.max_connections,
            max_held_bytes=limits.max_held_bytes,
        )

    def _http1_front(self) -> RestFront:
        settings = RestSettings(max_body_bytes=self.options.limits.max_body_bytes)
        return RestFront(self.rest, settings, accepts=self._accepts())

    def _accepts(self) -> Callable[[bytes], bool] | None:
        return client_check() if self.tls is not None and self.tls.mutual else None

    def _tell_ignored_arguments(self) -> None:
        for name, _ in self.options.listening.channel_arguments:
            if name not in HONOURED:
                _log.warning("--grpc_channel_arguments: %s has no effect on the fast front end", name)


def session_settings(options: Options, streaming_paths: frozenset[str], *, grpc: bool) -> SessionSettings:
    """Return the limits of one HTTP/2 connection; a REST body may be smaller than a gRPC message."""
    limits, arguments = options.limits, dict(options.listening.channel_arguments)
    message = _number(arguments, "grpc.max_receive_message_length", limits.max_message_bytes)
    body = max(message, limits.max_body_bytes if options.listening.one_port else 0) if grpc else limits.max_body_bytes
    return SessionSettings(
        max_body_bytes=min(body, limits.max_held_bytes),
        max_connection_body_bytes=limits.max_held_bytes,
        max_concurrent_streams=min(_number(arguments, "grpc.max_concurrent_streams", 256), 2**31 - 1),
        max_header_list_bytes=_number(arguments, "grpc.max_metadata_size", 64 * 1024),
        streaming_paths=streaming_paths,
    )


def grpc_settings(options: Options) -> GrpcSettings:
    """Return where and how grpcio listens."""
    host = f"[{options.listening.bind}]" if ":" in options.listening.bind else options.listening.bind
    addresses = [f"{host}:{options.listening.grpc_port}"] if options.listening.grpc_port else []
    if options.listening.grpc_socket and is_first_process():
        addresses.append(f"unix:{options.listening.grpc_socket}")
    return GrpcSettings(
        addresses=addresses,
        max_message_bytes=options.limits.max_message_bytes,
        shared=True,
        channel_arguments=options.listening.channel_arguments,
    )


def is_first_process() -> bool:
    """Whether this process is alone or the first of several: a unix socket, unlike a port, has one listener."""
    return os.environ.get(NUMBER, "1") == "1"


def _number(arguments: Mapping[str, int | str], name: str, default: int) -> int:
    value = arguments.get(name)
    return value if isinstance(value, int) and value > 0 else default


def _make_room_for(connections: int) -> None:
    """Let this process have a descriptor for each connection, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
