"""The model server from start to stop: key, TLS, model, then listeners; on SIGTERM drain, then end.

Nothing listens before it can answer (decision 4). World: everything that the other modules touch, signals, the log.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from strongroom import sealing
from strongroom.broker.names import SecretKind, SecretName
from strongroom.errors import StrongroomError
from strongroom.platforms import Platform
from strongroom.serving import loops
from strongroom.serving.allocator import keep_memory
from strongroom.serving.assembly import runners, sources
from strongroom.serving.fronts.listening import listening
from strongroom.serving.models.manager import ModelManager
from strongroom.serving.models.model import chosen
from strongroom.serving.models.versions import Listing, list_versions
from strongroom.serving.operations.evidence import Evidence
from strongroom.serving.operations.identity import KeyNotReleased, load_tls, obtain_key, platform_of, read_ca
from strongroom.serving.operations.keys import Keys, OneKey, VersionKeys
from strongroom.serving.operations.load import Load
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.operations.operating import health, leased, operations
from strongroom.serving.operations.operator_routes import Operations
from strongroom.serving.operations.processes import end_with_parent, supervise
from strongroom.serving.operations.readiness import Readiness
from strongroom.serving.operations.siblings import Place, Routes, Siblings, SummingRoutes, among
from strongroom.serving.options import Options
from strongroom.serving.requests.dataplane import Dataplane
from strongroom.serving.requests.rest_routes import RestRoutes
from strongroom.serving.requests.rpc import Rpc
from strongroom.serving.threads import in_thread
from strongroom.serving.tls import ServerTls
from strongroom.tfserving.config import ModelEntry, ServerConfig

COLLECT_EVERY: Final = 10_000  # objects; requests leave no cycles behind, so that looking for them is mostly in vain
_log: Final = logging.getLogger("strongroom.serving")


def serve(options: Options) -> int:
    """Run the server until SIGTERM or SIGINT; return the exit status. Raises what keeps it from starting."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold keys and the model
    if Place.of(os.environ) is not None:
        end_with_parent()
    elif options.listening.processes > 1:
        return supervise(options.listening.processes)
    return loops.run(_until_stopped(options))


async def _until_stopped(options: Options) -> int:
    stop = asyncio.Event()
    server = Server(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, server.read_again)
    await server.run(stop)
    return 0


@dataclass(slots=True)
class Server:
    """One server. `run` returns when `stop` is set and everything has been put away."""

    options: Options
    metrics: Metrics = field(default_factory=Metrics)
    readiness: Readiness = field(default_factory=Readiness)
    load: Load = field(default_factory=Load)
    _manager: ModelManager | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Start, serve, stop. Raises what keeps it from starting."""
        self.readiness.wait("start", "starting")
        async with health(self.options, self.readiness, self.load):
            await self._run(stop)

    def read_again(self) -> None:
        """Read the model configuration and look at the folders at once (SIGHUP)."""
        if self._manager is not None:
            _log.info("SIGHUP: the configuration is read again")
            self._manager.nudge()

    async def _run(self, stop: asyncio.Event) -> None:
        startup = asyncio.create_task(self._prepare())
        if not await _first(startup, stop):
            return
        prepared = startup.result()
        _settle()
        try:
            dataplane = prepared.dataplane
            siblings = self._siblings(prepared)
            async with (
                among(siblings),
                listening(
                    self.options,
                    rpc=self._rpc(prepared, siblings),
                    routes=self._routes(prepared, siblings),
                    tls=prepared.tls,
                    ready=lambda: dataplane.ready,
                ),
                leased(self.options.broker, prepared.platform, prepared.dataplane, prepared.keys),
            ):
                self._tell_load(dataplane, siblings)
                self.readiness.done("start")
                _announce(self.options, prepared)
                await _follow(prepared.manager, stop)
                _log.info("stopping: no new requests; running ones may take %g s", self.options.listening.drain_s)
                prepared.dataplane.accepting = False
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(prepared.manager.close(), self.options.listening.drain_s)
            if prepared.keys is not None:
                prepared.keys.wipe()
            _log.info("stopped")

    async def _prepare(self) -> _Prepared:
        options = self.options
        platform = platform_of(os.environ)
        # 1. What opens sealed models: the one key, from the broker, or what asks it for each version's own.
        keys = await self._keys(platform)
        # 2. The models, by name and folder, and what opens and runs them.
        self._manager = manager = ModelManager(
            options.models,
            sources=sources(options, keys, metrics=self.metrics),
            runners=runners(options.batching, metrics=self.metrics, is_plain=keys is None),
            metrics=self.metrics,
        )
        config = await manager.first_config()
        if isinstance(keys, VersionKeys):
            await self._first_keys(keys, config)
        # 3. The TLS identity.
        tls = load_tls(options, None, []) if keys is None else await self._sealed_tls(keys, config)
        # 4. The models themselves.
        try:
            await manager.start(config)
        except StrongroomError:
            await manager.close()
            raise
        dataplane = Dataplane(manager, accepting=True, check_method_names=options.runtime.check_method_names)
        self.readiness.check(lambda: dataplane.not_ready_reason)
        return _Prepared(dataplane=dataplane, manager=manager, tls=tls, keys=keys, platform=platform)

    async def _keys(self, platform: Platform | None) -> Keys | None:
        broker = self.options.broker
        if broker is None:
            return None
        if broker.url:
            return VersionKeys(broker, platform, read_ca(broker))
        self.readiness.done("start")  # the key has its own reason
        key = await obtain_key(broker, platform, readiness=self.readiness)
        self.readiness.wait("start", "loading models")
        return OneKey(key)

    async def _first_keys(self, keys: VersionKeys, config: ServerConfig) -> None:
        """Get the key of each model's highest version, waiting as the options say; further ones come as they load."""
        self.readiness.done("start")
        for entry in config.models:
            listing = await _listing(entry)
            wanted, _ = chosen(entry.policy, listing.candidates, listing)
            if wanted:
                await keys.first(SecretName(SecretKind.MODEL, entry.name, wanted[0].version), self.readiness)
        self.readiness.wait("start", "loading models")

    async def _sealed_tls(self, keys: Keys, config: ServerConfig) -> ServerTls | None:
        """Open ssl.cfg, which is bound to a version of a model; where none is there yet, wait for one."""
        while True:
            found = [(entry, versions) for entry in config.models if (versions := await _versions(entry))]
            if found or self.options.models.poll_wait_s <= 0:
                break
            self.readiness.wait("versions", "no version is there yet, and ssl.cfg is bound to one")
            await asyncio.sleep(self.options.models.poll_wait_s)
        self.readiness.done("versions")
        for entry, versions in found:
            named = replace(self.options.models, name=entry.name, base_path=Path(entry.base_path))
            opening, its = replace(self.options, models=named), keys.of(entry.name)
            try:
                return await in_thread(partial(load_tls, opening, its, versions), name="open ssl.cfg")
            except (sealing.WrongPath, sealing.WrongKeyOrTampered, KeyNotReleased):
                if entry is found[-1][0]:
                    raise
        return load_tls(self.options, keys.of(self.options.models.name), [])

    def _tell_load(self, dataplane: Dataplane, siblings: Siblings | None) -> None:
        self.load.here = lambda: float(dataplane.in_flight)
        self.load.elsewhere = siblings.in_flight if siblings is not None else None

    def _siblings(self, prepared: _Prepared) -> Siblings | None:
        place = Place.of(os.environ)
        return None if place is None else Siblings(place, metrics=self.metrics, reloader=prepared.manager)

    def _rpc(self, prepared: _Prepared, siblings: Siblings | None) -> Rpc:
        return Rpc(
            prepared.dataplane,
            metrics=self.metrics,
            reloader=(siblings or prepared.manager) if self.options.models.reload_by_request else None,
            outputs_as_content=self.options.rest.outputs_as_content,
        )

    def _routes(self, prepared: _Prepared, siblings: Siblings | None) -> Routes:
        options, tls = self.options, prepared.tls
        answers = self._operations(prepared)
        if siblings is not None:
            answers = replace(answers, metrics_text=siblings.metrics_text)
        evidence = Evidence(prepared.platform, tls.spki) if tls is not None and prepared.platform is not None else None
        routes = RestRoutes(
            dataplane=prepared.dataplane, operations=answers, timeout_s=options.rest.timeout_s,
            max_body_bytes=options.limits.max_body_bytes, cors=options.rest.cors, evidence=evidence,
            metrics=self.metrics, nan=options.rest.nan,
        )  # fmt: skip
        if siblings is None or answers.metrics_path is None:
            return routes
        return SummingRoutes(routes, siblings, answers.metrics_path)

    def _operations(self, prepared: _Prepared) -> Operations:
        return operations(
            self.options, readiness=self.readiness, metrics=self.metrics, dataplane=prepared.dataplane, tls=prepared.tls
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What has to be there before a listener."""

    dataplane: Dataplane
    manager: ModelManager
    tls: ServerTls | None
    keys: Keys | None
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


async def _follow(manager: ModelManager, stop: asyncio.Event) -> None:
    """Follow folders and configuration until `stop`; a defect there is logged, and the models go on serving."""
    following = asyncio.create_task(manager.follow())
    following.add_done_callback(_say_why_it_ended)
    await stop.wait()
    following.cancel()
    await asyncio.wait({following})


def _say_why_it_ended(following: asyncio.Task[None]) -> None:
    if not following.cancelled() and (problem := following.exception()) is not None:
        _log.critical("models are not followed any more: a defect; restart the server", exc_info=problem)


async def _versions(entry: ModelEntry) -> list[int]:
    return [candidate.version for candidate in (await _listing(entry)).candidates]


async def _listing(entry: ModelEntry) -> Listing:
    listing = await in_thread(lambda: list_versions(Path(entry.base_path), model=entry.name), name="look at versions")
    for warning in listing.warnings:
        _log.warning("%s", warning)
    return listing


def _settle() -> None:
    """Keep the memory of requests; let the collector pass over what stays: it took 4 % of a tiny one over cffi."""
    keep_memory()
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)


def _announce(options: Options, prepared: _Prepared) -> None:
    """Say what is in force: models, TLS, who vouches for this process, how requests are joined."""
    kind = "clear text, this machine only" if prepared.tls is None else "mutual TLS" if prepared.tls.mutual else "TLS"
    sealed = "sealed" if prepared.keys is not None else "plain"
    vouched = f"platform {prepared.platform.name}" if prepared.platform is not None else "no platform vouches for it"
    manager = prepared.manager
    joined = "of what queues meanwhile, where a model's line says so" if options.batching.drain else "none"
    _log.info("batching: %s", "by the batching parameters" if options.batching.enabled else joined)
    if manager.not_ready_reason is None:
        highest = [found for name in manager.names() if (found := manager.find(name, None)) is not None]
        models = ", ".join(f"{served.name} version {served.version}" for served in highest) or "no model"
        _log.info("Strongroom is ready: %s (%s), %s, %s", models, sealed, kind, vouched)
    else:
        _log.warning("Strongroom is not ready: %s; %s, %s", manager.not_ready_reason, kind, vouched)
    _log.info("Entering the event loop ...")
