"""Run a broker in this process until it is told to stop.

World: the event loop, signals, the ledger's lock.
"""

from __future__ import annotations

import asyncio
import ctypes
import resource
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from strongroom.broker.appraisal import RemoteJudge
from strongroom.broker.gramine_server import BrokerServer, ServerLimits
from strongroom.broker.ledger.file import Ledger, entries
from strongroom.broker.recorder import EvidenceRecorder
from strongroom.broker.rollback_guard import RollbackGuard
from strongroom.broker.service import ReleaseService, utc_now
from strongroom.broker.setup import BrokerSetup
from strongroom.broker.tls import server_context
from strongroom.collateral import CollateralSource, LiveSource, Refresher

_PR_SET_DUMPABLE: Final = 4


def run(
    setup: BrokerSetup, *, address: str, port: int, tls13: bool, limits: ServerLimits, ready: Callable[[int], None],
    record_evidence: Path | None = None, judge: RemoteJudge | None = None,
) -> None:  # fmt: skip
    """Serve until SIGTERM or SIGINT; `ready` gets the port once it listens. Raises what keeps it from starting.

    `record_evidence`: a folder that gets one file for each kind of evidence presented. `judge`: an attestation service
    that checks quotes in our place.
    """
    keep_memory_private()
    _raise_descriptor_limit()
    context = server_context(setup.certificate_pem, setup.key_pem, tls13=tls13)
    with Ledger(setup.ledger) as ledger, _refreshed(setup.source):
        service = ReleaseService(
            policies=setup.policies, source=setup.source, anchors=setup.anchors, secrets=setup.secrets, ledger=ledger,
            rollback=RollbackGuard(setup.seen_numbers, ledger=entries(setup.ledger)),
            recorder=EvidenceRecorder(record_evidence) if record_evidence else None, judge=judge,
        )  # fmt: skip
        service.begin()
        asyncio.run(_serve(BrokerServer(service, context, limits=limits), address, port, ready, setup.source))


def _refreshed(source: CollateralSource) -> AbstractContextManager[object]:
    """Renew live collateral in the background as long as the broker runs."""
    return Refresher(source, clock=utc_now) if isinstance(source, LiveSource) else nullcontext()


def keep_memory_private() -> None:
    """No core dump, and no look into this process for others of the same user (threat KD-22)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # also where the kernel pipes core dumps to a program


def _raise_descriptor_limit() -> None:
    """Take as many file descriptors as this process may have: each connection needs one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(
    server: BrokerServer, address: str, port: int, ready: Callable[[int], None], source: CollateralSource
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        ready(await server.start(address, port))
        await stop.wait()
    finally:
        if isinstance(source, LiveSource):
            source.close()  # who waits for a server that does not answer must not hold up the end
        await server.stop()
