"""The model server from start to stop: key, TLS, model, then listeners; on SIGTERM drain, then end.

Nothing listens before it can answer (decision 4). World: everything that the other modules touch, signals, the log.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import Unreachable
from strongroom.platforms import Platform
from strongroom.secret import Secret
from strongroom.serving import loops
from strongroom.serving.dataplane import Dataplane
from strongroom.serving.engines import EngineOptions
from strongroom.serving.evidence import Evidence
from strongroom.serving.identity import load_tls, obtain_key, platform_of, read_owner_key
from strongroom.serving.listening import listening
from strongroom.serving.loading import Loader, PlainLoader, SealedLoader
from strongroom.serving.metrics import Metrics
from strongroom.serving.operating import health, leased, operations
from strongroom.serving.operations import Operations
from strongroom.serving.options import Options
from strongroom.serving.readiness import Readiness
from strongroom.serving.registry import ModelVersions
from strongroom.serving.rest_routes import RestRoutes
from strongroom.serving.rpc import Rpc
from strongroom.serving.threads import in_thread
from strongroom.serving.tls import ServerTls
from strongroom.serving.versions import Listing, latest, list_versions
from strongroom.tfserving.status import State

_log: Final = logging.getLogger("strongroom.serving")


class NothingToServe(Unreachable):
    """No version of the model could be loaded."""

    code = "SR-SERVE-NO-VERSION"
    fix = "The log above says what is wrong with each version; correct it and start again."


def serve(options: Options) -> int:
    """Run the server until SIGTERM or SIGINT; return the exit status. Raises what keeps it from starting."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold keys and the model
    return loops.run(_until_stopped(options))


async def _until_stopped(options: Options) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Server(options).run(stop)
    return 0


@dataclass(slots=True)
class Server:
    """One server. `run` returns when `stop` is set and everything has been put away."""

    options: Options
    metrics: Metrics = field(default_factory=Metrics)
    readiness: Readiness = field(default_factory=Readiness)
    _warned: tuple[str, ...] = ()

    async def run(self, stop: asyncio.Event) -> None:
        """Start, serve, stop. Raises what keeps it from starting."""
        self.readiness.wait("start", "starting")
        async with health(self.options, self.readiness):
            await self._run(stop)

    async def _run(self, stop: asyncio.Event) -> None:
        startup = asyncio.create_task(self._prepare())
        if not await _first(startup, stop):
            return
        prepared = startup.result()
        try:
            dataplane = prepared.dataplane
            async with (
                listening(
                    self.options,
                    rpc=Rpc(dataplane, metrics=self.metrics, outputs_as_content=self.options.rest.outputs_as_content),
                    routes=self._routes(prepared),
                    tls=prepared.tls,
                    ready=lambda: dataplane.ready,
                ),
                leased(self.options.broker, prepared.platform, prepared.dataplane),
            ):
                self.readiness.done("start")
                _announce(self.options, prepared)
                await self._look_for_versions(prepared.model, stop)
                _log.info("stopping: no new requests; running ones may take %g s", self.options.listening.drain_s)
                prepared.dataplane.accepting = False
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(prepared.model.close(), self.options.listening.drain_s)
            if prepared.key is not None:
                prepared.key.wipe()
            _log.info("stopped")

    async def _prepare(self) -> _Prepared:
        options = self.options
        platform = platform_of(os.environ)
        # 1. The key, from the broker, if the model is sealed.
        key = None
        if options.broker is not None:
            self.readiness.done("start")  # the key has its own reason
            key = await obtain_key(options.broker, platform, readiness=self.readiness)
            self.readiness.wait("start", "loading models")
        # 2. The TLS identity.
        listing = await self._list()
        tls = load_tls(options, key, [candidate.version for candidate in listing.candidates])
        # 3. The model.
        model = ModelVersions(options.models.name, self._loader(key))
        await self._load_first(model, listing)
        dataplane = Dataplane(
            models={options.models.name: model}, accepting=True, check_method_names=options.runtime.check_method_names
        )
        self.readiness.check(lambda: dataplane.not_ready_reason)
        self.metrics.set_models([options.models.name])
        return _Prepared(dataplane=dataplane, model=model, tls=tls, key=key, platform=platform)

    def _loader(self, key: Secret | None) -> Loader:
        options = self.options
        engine = EngineOptions(
            intra_op_threads=options.runtime.intra_op_threads, inter_op_threads=options.runtime.inter_op_threads
        )
        if key is None or options.broker is None:
            return PlainLoader(engine)
        return SealedLoader(model=options.models.name, key=key, owner=read_owner_key(options.broker), options=engine)

    async def _list(self) -> Listing:
        options = self.options
        listing = await in_thread(
            lambda: list_versions(options.models.base_path, model=options.models.name), name="look at versions"
        )
        if listing.warnings != self._warned:
            self._warned = listing.warnings
            for warning in listing.warnings:
                _log.warning("%s", warning)
        return listing

    async def _load_first(self, model: ModelVersions, listing: Listing) -> None:
        """Load what is there; where nothing is there yet, wait for it as TensorFlow Serving does."""
        while True:
            await model.settle(latest(listing.candidates))
            if model.available:
                return
            if refusals := model.refusals():
                raise refusals[0]  # stop: waiting or asking again makes a changed model no better
            ended = [status for status in model.statuses() if status.state is State.END]
            if ended or self.options.models.poll_wait_s <= 0:
                reason = ended[0].message if ended else f"{self.options.models.base_path} holds no version"
                raise NothingToServe(f"1 servable(s) did not become available: {model.name}: {reason}")
            await asyncio.sleep(self.options.models.poll_wait_s)
            listing = await self._list()

    def _routes(self, prepared: _Prepared) -> RestRoutes:
        options, tls = self.options, prepared.tls
        evidence = Evidence(prepared.platform, tls.spki) if tls is not None and prepared.platform is not None else None
        return RestRoutes(
            dataplane=prepared.dataplane, operations=self._operations(prepared), timeout_s=options.rest.timeout_s,
            max_body_bytes=options.limits.max_body_bytes, cors=options.rest.cors, evidence=evidence,
            metrics=self.metrics, nan=options.rest.nan,
        )  # fmt: skip

    def _operations(self, prepared: _Prepared) -> Operations:
        return operations(
            self.options, readiness=self.readiness, metrics=self.metrics, dataplane=prepared.dataplane, tls=prepared.tls
        )

    async def _look_for_versions(self, model: ModelVersions, stop: asyncio.Event) -> None:
        """Until `stop`: follow the folder's versions, where polling is on."""
        pause = self.options.models.poll_wait_s if self.options.models.poll_wait_s > 0 else None
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), pause)
            except TimeoutError:
                await model.settle(latest((await self._list()).candidates))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What has to be there before a listener."""

    dataplane: Dataplane
    model: ModelVersions
    tls: ServerTls | None
    key: Secret | None
    platform: Platform | None


async def _first(task: asyncio.Task[_Prepared], stop: asyncio.Event) -> bool:
    """Wait for a task or for `stop`; return whether the task ended first, and cancel it otherwise."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        return True
    task.cancel()
    await asyncio.wait({task})
    return False


def _announce(options: Options, prepared: _Prepared) -> None:
    kind = "clear text, this machine only" if prepared.tls is None else "mutual TLS" if prepared.tls.mutual else "TLS"
    version = prepared.model.available[0].version
    sealed = "sealed" if prepared.key is not None else "plain"
    vouched = f"platform {prepared.platform.name}" if prepared.platform is not None else "no platform vouches for it"
    _log.info(
        "Strongroom is ready: %s version %d (%s), %s, %s", options.models.name, version, sealed, kind, vouched
    )  # fmt: skip
    _log.info("Entering the event loop ...")
