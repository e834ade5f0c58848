"""Run a broker in this process until it is told to stop.

World: the event loop, signals, the ledger's lock.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from strongroom.broker.ledger import Ledger
from strongroom.broker.server import BrokerServer, ServerLimits
from strongroom.broker.service import ReleaseService
from strongroom.broker.setup import BrokerSetup
from strongroom.broker.tls import server_context


def run(
    setup: BrokerSetup, *, address: str, port: int, tls13: bool, limits: ServerLimits, ready: Callable[[int], None]
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` gets the port once it listens. Raises what keeps it from starting."""
    context = server_context(setup.certificate_pem, setup.key_pem, tls13=tls13)
    with Ledger(setup.ledger) as ledger:
        service = ReleaseService(
            policies=setup.policies, source=setup.source, anchors=setup.anchors, secrets=setup.secrets, ledger=ledger
        )
        service.begin()
        asyncio.run(_serve(BrokerServer(service, context, limits=limits), address, port, ready))


async def _serve(server: BrokerServer, address: str, port: int, ready: Callable[[int], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        ready(await server.start(address, port))
        await stop.wait()
    finally:
        await server.stop()
