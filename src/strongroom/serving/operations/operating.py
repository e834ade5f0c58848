"""What surrounds the models from the server's start to its stop: the health port, the key's lease, operators' answers.

World: one small file, a port, the broker. Each is a context or a value that the server holds; see `server`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from strongroom.pki import disk
from strongroom.platforms import Platform
from strongroom.serving.fronts.health_port import health_port
from strongroom.serving.operations.identity import ATTEMPT_S, obtain_key
from strongroom.serving.operations.keys import Keys, VersionKeys
from strongroom.serving.operations.lease import KeyLease, LeaseLost
from strongroom.serving.operations.load import IN_FLIGHT, Load
from strongroom.serving.operations.metrics import Metrics, states_reading
from strongroom.serving.operations.operator_routes import Operations
from strongroom.serving.operations.readiness import Readiness
from strongroom.serving.options import BrokerOptions, Options
from strongroom.serving.requests.dataplane import Dataplane
from strongroom.serving.tls import ServerTls
from strongroom.tfserving.config import MAX_CONFIG_BYTES
from strongroom.tfserving.config_monitoring import metrics_path
from strongroom.tfserving.status import State

_log: Final = logging.getLogger("strongroom.serving")


@asynccontextmanager
async def health(options: Options, readiness: Readiness, load: Load) -> AsyncIterator[None]:
    """Answer probes on the health port, where the options ask for one, while the block runs. Raises OSError."""
    monitoring = options.monitoring
    if not monitoring.health_port:
        yield
        return
    async with health_port(monitoring.health_bind, monitoring.health_port, readiness, load) as port:
        _log.info("Answering /healthz, /readyz and /load in clear text at %s:%d", monitoring.health_bind, port)
        yield


@asynccontextmanager
async def leased(
    broker: BrokerOptions | None, platform: Platform | None, dataplane: Dataplane, keys: Keys | None = None
) -> AsyncIterator[None]:
    """Keep the keys' leases, where there are any, while the block runs; without them no request is answered."""

    def suspend(why: LeaseLost | None) -> None:
        dataplane.suspended = why

    if isinstance(keys, VersionKeys):
        async with keys.renewed(suspend, lambda model, version: _is_over(dataplane, model, version)):
            yield
        return
    if broker is None or broker.lease_s == 0:
        yield
        return
    once = replace(broker, patient=False, wait_s=min(ATTEMPT_S, broker.lease_s / 3))
    lease = KeyLease(ask=lambda: obtain_key(once, platform), seconds=broker.lease_s, suspend=suspend)
    task = asyncio.create_task(lease.keep())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _is_over(dataplane: Dataplane, model: str, version: int) -> bool:
    """Return whether a version was unloaded; one that nobody knows yet may be on its way up, so it is not over."""
    states = {status.version: status.state for status in dataplane.catalogue.statuses(model)}
    return states.get(version) is State.END


def operations(
    options: Options, *, readiness: Readiness, metrics: Metrics, dataplane: Dataplane, tls: ServerTls | None
) -> Operations:
    """Return what answers operators over REST. Raises BadConfigText for the monitoring file, or OSError."""
    file = options.monitoring.config_file
    path = None
    if file is not None:
        path = metrics_path(disk.read_bounded(file, limit=MAX_CONFIG_BYTES), file=str(file))
    _show_gauges(metrics, readiness, dataplane)
    return Operations(
        readiness=readiness,
        models=dataplane.catalogue,
        metrics_text=metrics.text,
        metrics_path=path,
        clients_authenticated=tls is not None and tls.mutual,
        clear_text=tls is None,
    )


def _show_gauges(metrics: Metrics, readiness: Readiness, dataplane: Dataplane) -> None:
    catalogue = dataplane.catalogue
    metrics.gauge("strongroom_ready", lambda: [((), float(readiness.ready))])
    metrics.gauge(IN_FLIGHT, lambda: [((), float(dataplane.in_flight))])
    metrics.gauge(
        "strongroom_model_version",
        states_reading(
            lambda: {
                name: [(each.version, each.state.name) for each in catalogue.statuses(name)]
                for name in catalogue.names()
            }
        ),
    )
