"""Open every listener that the options ask for, and close them in order: `async with listening(...)`.

The server calls only this; which front end answers is decided here. World: sockets, the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from strongroom.serving.grpc_front import GrpcFront, GrpcSettings
from strongroom.serving.options import Options
from strongroom.serving.rest_front import RestFront, RestSettings
from strongroom.serving.rest_routes import RestRoutes
from strongroom.serving.rpc import Rpc
from strongroom.serving.tls import ServerTls, client_check

_log: Final = logging.getLogger("strongroom.serving")


@asynccontextmanager
async def listening(
    options: Options, *, rpc: Rpc, routes: RestRoutes, tls: ServerTls | None, ready: Callable[[], bool]
) -> AsyncIterator[None]:
    """Listen while the block runs; then take nothing new, finish what was accepted, close (SV-17).

    Raises OSError where an address cannot be used, and what TLS refuses.
    """
    del ready  # the health service asks it
    grpc = GrpcFront(rpc, _grpc_settings(options), tls)
    accepts = client_check() if tls is not None and tls.mutual else None
    rest = RestFront(routes.answer, RestSettings(max_body_bytes=options.limits.max_body_bytes), accepts=accepts)
    try:
        for address, port in zip(_grpc_settings(options).addresses, await grpc.start(), strict=True):
            _log.info(
                "Running gRPC ModelServer at %s ...", address if port <= 1 else f"{options.listening.bind}:{port}"
            )
        if options.listening.rest_port and options.listening.rest_port == options.listening.grpc_port:
            _log.error("--rest_api_port is the gRPC port: REST is not served")
        elif options.listening.rest_port:
            port = await rest.start(
                options.listening.bind, options.listening.rest_port, tls.context() if tls is not None else None
            )
            _log.info("Exporting HTTP/REST API at:%s:%d ...", options.listening.bind, port)
        yield
    finally:
        await asyncio.gather(grpc.stop(options.listening.drain_s), rest.stop(options.listening.drain_s))


def _grpc_settings(options: Options) -> GrpcSettings:
    host = f"[{options.listening.bind}]" if ":" in options.listening.bind else options.listening.bind
    addresses = [f"{host}:{options.listening.grpc_port}"] if options.listening.grpc_port else []
    if options.listening.grpc_socket:
        addresses.append(f"unix:{options.listening.grpc_socket}")
    return GrpcSettings(
        addresses=addresses,
        max_message_bytes=options.limits.max_message_bytes,
        channel_arguments=options.listening.channel_arguments,
    )
