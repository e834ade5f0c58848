"""Run a front end: one port with TLS and no other, certificates that renew, an end that lets answers finish."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from strongroom.broker.web.server import WebLimits, WebServer
from strongroom.streaming.frontend.app import Front
from strongroom.streaming.frontend.keystore import Renewal
from strongroom.streaming.frontend.options import FrontOptions

RENEWAL_S: Final = 2.0  # how often the certificate's files are looked at
IDLE_S: Final = 75.0  # how long a connection may be kept without a request
_log: Final = logging.getLogger("strongroom.queue.frontend")


async def serve(options: FrontOptions, stop: asyncio.Event, *, ready: Callable[[int], None]) -> None:
    """Serve until `stop`; `ready` gets the port once it listens.

    Raises FrontKeyUnusable, BadServables, FrontOption and what the files' readers raise, before it listens; OSError for
    the port.
    """
    renewal = Renewal(options.keys)
    models = options.models()
    front = Front(models, options.settings)
    limits = WebLimits(
        connections=max(1024, 2 * options.settings.parallelism),
        connections_per_address=max(1024, 2 * options.settings.parallelism),
        head_s=IDLE_S, body_s=60.0, body_bytes=options.settings.body_bytes, drain_s=30.0,
    )  # fmt: skip
    server = WebServer(front.application(), renewal.first, name="queue frontend", limits=limits)
    try:
        ready(await server.start(options.interface, options.port))
        keeping = asyncio.create_task(_renew(server, renewal))
        try:
            await stop.wait()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await server.stop()
    finally:
        await asyncio.gather(*(each.backend.close() for each in models), return_exceptions=True)


async def _renew(server: WebServer, renewal: Renewal) -> None:
    while True:
        await asyncio.sleep(RENEWAL_S)
        found = await asyncio.to_thread(renewal.look)
        if found is not None:
            server.use(found)
            _log.info("new connections get the renewed certificate")
