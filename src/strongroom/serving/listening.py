"""Open every listener that the options ask for, and close them in order: `async with listening(...)`.

The server calls only this; which front end answers is decided here. World: sockets, the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from strongroom.serving.dataplane import Dataplane
from strongroom.serving.grpc_front import GrpcFront, GrpcSettings
from strongroom.serving.options import Options
from strongroom.serving.rest_front import RestFront, RestSettings
from strongroom.serving.rest_routes import RestRoutes
from strongroom.serving.tls import ServerTls, client_check

_log: Final = logging.getLogger("strongroom.serving")


@asynccontextmanager
async def listening(
    options: Options, *, dataplane: Dataplane, routes: RestRoutes, tls: ServerTls | None
) -> AsyncIterator[None]:
    """Listen while the block runs; then take nothing new, finish what was accepted, close (SV-17).

    Raises OSError where an address cannot be used, and what TLS refuses.
    """
    rpc = GrpcFront(dataplane, _grpc_settings(options), tls)
    accepts = client_check() if tls is not None and tls.mutual else None
    rest = RestFront(routes.answer, RestSettings(max_body_bytes=options.max_body_bytes), accepts=accepts)
    try:
        for address, port in zip(_grpc_settings(options).addresses, await rpc.start(), strict=True):
            _log.info("Running gRPC ModelServer at %s ...", address if port <= 1 else f"{options.bind}:{port}")
        if options.rest_port and options.rest_port == options.grpc_port:
            _log.error("--rest_api_port is the gRPC port: REST is not served")
        elif options.rest_port:
            port = await rest.start(options.bind, options.rest_port, tls.context() if tls is not None else None)
            _log.info("Exporting HTTP/REST API at:%s:%d ...", options.bind, port)
        yield
    finally:
        await asyncio.gather(rpc.stop(options.drain_s), rest.stop(options.drain_s))


def _grpc_settings(options: Options) -> GrpcSettings:
    host = f"[{options.bind}]" if ":" in options.bind else options.bind
    addresses = [f"{host}:{options.grpc_port}"] if options.grpc_port else []
    if options.grpc_socket:
        addresses.append(f"unix:{options.grpc_socket}")
    return GrpcSettings(
        addresses=addresses,
        max_message_bytes=options.max_message_bytes,
        outputs_as_content=options.outputs_as_content,
        channel_arguments=options.channel_arguments,
    )
