"""One worker process, from its configuration to its end: probes answer first, then the model opens, then it works.

World: signals, the pipe of a supervisor, the port for probes. A process that waits for its key or for Redis is alive
and not ready. Source: spec `cluster-serving.md` section 12.1; defect D12.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from strongroom.clusterserving.config import QueueConfig
from strongroom.serving.operations.readiness import Readiness
from strongroom.streaming.worker.assembly import ConsumerName, open_worker
from strongroom.streaming.worker.health import health_port
from strongroom.streaming.worker.reports import Report
from strongroom.streaming.worker.supervisor import REPORT_S, ChildPlace, Supervisor
from strongroom.streaming.worker.worker import ServingWorker


@dataclass(slots=True)
class Running:
    """One worker process."""

    config: QueueConfig
    child: ChildPlace | None = None
    settled: Callable[[dict[str, Any]], None] = lambda _: None  # told of the effective settings, once
    _readiness: Readiness = field(default_factory=Readiness)
    _worker: ServingWorker | None = None

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT. Raises what opening the model and the worker raise."""
        stop = stopped_by_signals()
        async with AsyncExitStack() as stack:
            if self.child is None:
                await stack.enter_async_context(probes(self.config, self.report))
            else:
                await stack.enter_async_context(_reporting(self.child.pipe, self.report))
            name = ConsumerName(self.config, self.child.number if self.child else None)
            stack.callback(name.close)
            worker = await self._opened(name.name, stop)
            if worker is None:
                return
            self._worker = worker
            self.settled({"consumer": name.name, "job": self.config.job_name, **worker.settings})
            await worker.run(stop)

    async def _opened(self, name: str, stop: asyncio.Event) -> ServingWorker | None:
        """Open the model, which may wait for its key; None where the process is told to stop before."""
        opening = asyncio.create_task(open_worker(self.config, name, readiness=self._readiness))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                return opening.result()
            return None
        finally:
            stopping.cancel()
            if not opening.done():
                opening.cancel()
                with suppress(asyncio.CancelledError):
                    await opening

    def report(self) -> Report:
        """Return what this process tells of itself."""
        if self._worker is not None:
            return self._worker.report()
        reason = "loading the model" if self._readiness.ready else self._readiness.reason
        return Report(ready=False, reason=reason)


async def supervise(config: QueueConfig, supervisor: Supervisor) -> int:
    """Keep several workers until SIGTERM or SIGINT; return the first exit status that is not 0."""
    stop = stopped_by_signals()
    async with probes(config, supervisor.report):
        keeping = asyncio.create_task(supervisor.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        supervisor.stop()
        return await keeping


def stopped_by_signals() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


@asynccontextmanager
async def probes(config: QueueConfig, report: Callable[[], Report]) -> AsyncIterator[None]:
    """Answer on the ports for health and metrics that the configuration names; they may be one."""
    async with AsyncExitStack() as stack:
        for port in sorted({config.health_port, config.metrics_port} - {0}):
            await stack.enter_async_context(health_port(config.health_bind, port, report))
        yield


@asynccontextmanager
async def _reporting(pipe: int, report: Callable[[], Report]) -> AsyncIterator[None]:
    """Tell the supervisor every so often how this worker fares; end with it."""
    os.set_inheritable(pipe, False)

    async def tell() -> None:
        loop = asyncio.get_running_loop()
        while True:
            line = report().to_line()
            await loop.run_in_executor(None, os.write, pipe, line)
            await asyncio.sleep(REPORT_S)

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await task
