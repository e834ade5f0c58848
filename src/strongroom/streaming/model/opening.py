"""From a queue's configuration to a model that answers: find it, get its keys, load it, warm it up.

World: the model's folder, the broker, the platform that vouches for this process. A sealed model and the queue's keys
come from the broker by attestation or not at all; nothing is asked of an operator, and nothing secret passes Redis
(threats KD-24, AN-06). Source: spec `cluster-serving.md` sections 2, 8 and 11.1.
"""

from __future__ import annotations

import ctypes
import logging
import os
import resource
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from strongroom.broker.names import SecretKind, SecretName
from strongroom.errors import Refused
from strongroom.platforms import Platform
from strongroom.serving.batching import make_runner
from strongroom.serving.engines import Engine, EngineOptions, load
from strongroom.serving.engines.choice import AUTO
from strongroom.serving.models.loading import Loader, SealedLoader
from strongroom.serving.models.registry import Served
from strongroom.serving.models.versions import Candidate
from strongroom.serving.models.warmup import Preparation
from strongroom.serving.operations.identity import obtain_key, platform_of, read_ca, read_owner_key
from strongroom.serving.operations.keys import Keys, OneKey, VersionKeys
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.operations.operating import leased
from strongroom.serving.operations.readiness import Readiness
from strongroom.serving.options import BrokerOptions
from strongroom.serving.requests.dataplane import Dataplane
from strongroom.serving.threads import in_thread
from strongroom.streaming.model import trust
from strongroom.streaming.model.folder import Form, Found, find_model
from strongroom.streaming.model.opened import OpenedModel
from strongroom.streaming.model.opener import RecordOpener
from strongroom.streaming.model.predictor import ModelIdentity
from strongroom.streaming.model.queue_keys import QueueKeys
from strongroom.streaming.model.target import Target

if TYPE_CHECKING:
    from strongroom.clusterserving.config import QueueConfig

_PR_SET_DUMPABLE: Final = 4
_log: Final = logging.getLogger(__name__)


class PlainModel(Refused):
    """The configuration says that the model is sealed (modelEncrypted), and what lies there is readable by anybody."""

    code = "SR-QUEUE-MODEL-PLAIN"
    fix = "Publish the model with strongroom model publish, or set modelEncrypted to false if it is no secret."


async def open_predictor(
    config: QueueConfig,
    *,
    environ: Mapping[str, str] | None = None,
    readiness: Readiness | None = None,
    metrics: Metrics | None = None,
) -> OpenedModel:
    """Return the model of a queue, loaded and warm; close it when the worker stops.

    `environ`: the process's variables, which say what vouches for it. `readiness` is told what is waited for.
    Raises BadModelPath, NotOneModel, FormNotServed, NoBroker, PlainModel, KeyNotReleased, BrokerNotReached,
    PlatformAbsent, what `open_bundle`, the engines and the warm-up raise, BadQueueKey, FileTooLong or OSError.
    """
    async with AsyncExitStack() as stack:
        place = await _Place.of(config, os.environ if environ is None else environ, readiness or Readiness())
        opened = await _opened(place, metrics or Metrics(), stack)
        opened.behind.push_async_exit(stack.pop_all())
    return opened


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What is opened, for whom, and who is asked for keys."""

    config: QueueConfig
    target: Target
    found: Found
    identity: ModelIdentity
    broker: BrokerOptions | None
    platform: Platform | None
    readiness: Readiness

    @classmethod
    async def of(cls, config: QueueConfig, environ: Mapping[str, str], readiness: Readiness) -> _Place:
        target, broker = Target.of(config), trust.broker_of(config)
        found = await in_thread(partial(find_model, target.folder), name="look at the model")
        if found.form is not Form.SEALED and config.model_encrypted:
            raise PlainModel(f"modelEncrypted is set, and {target.folder} holds a plain model")
        if found.form is Form.SEALED and broker is None:
            raise trust.NoBroker(f"{target.folder} holds a sealed model, and the configuration names no broker")
        digest = await in_thread(found.digest, name="digest of the model")
        return cls(
            config=config, target=target, found=found, broker=broker, platform=platform_of(environ),
            identity=ModelIdentity(target.name, target.version, digest), readiness=readiness,
        )  # fmt: skip


def _leave_no_core_dump() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # also where the kernel pipes core dumps to a program


async def _opened(place: _Place, metrics: Metrics, stack: AsyncExitStack) -> OpenedModel:
    # 1. The keys: of the model, and of the queue. From here on a core dump would hold them.
    if place.broker is not None:
        _leave_no_core_dump()
    keys = await _model_keys(place, stack)
    opener, queue_keys = await _queue_keys(place, stack)
    # 2. The model, as often as runs go on at a time.
    threads, parallelism = threads_of(place.config, place.found.form)
    loader = _loader(place, keys, Preparation(metrics=metrics), threads)
    copies = [await _copy(place, loader, metrics, stack) for _ in range(parallelism)]
    vouched = bool(place.platform is not None and (keys or queue_keys))
    dataplane = Dataplane(accepting=True)
    opened = OpenedModel(
        place.identity, dataplane, copies, threads=threads, opener=opener, sealed=keys is not None,
        attestation=type(place.platform).__name__ if vouched else "",
    )  # fmt: skip
    # 3. Leases are renewed while it is open, and a prediction has passed before anybody asks for one (defect D12).
    await stack.enter_async_context(leased(place.broker if keys else None, place.platform, dataplane, keys))
    if queue_keys is not None:
        await stack.enter_async_context(queue_keys.renewed(opened.suspend_records))
    await opened.warm_up()
    _log.info("model %s version %d (%s), digest %s; %s", place.identity.name, place.identity.version,
              "sealed" if opened.sealed else "plain", place.identity.digest, opened.description)  # fmt: skip
    return opened


def threads_of(config: QueueConfig, form: Form) -> tuple[int, int]:
    """Return threads of one run and runs at a time, as `coreNumberPerMachine` and its kin say."""
    cores = config.core_number
    if cores > 0:
        return (cores, 1) if form is Form.OPENVINO else (1, cores)
    return config.thread_per_model, config.model_parallelism


async def _model_keys(place: _Place, stack: AsyncExitStack) -> Keys | None:
    """Return what opens a sealed model, None for a plain one; wiped when the model is closed."""
    broker = place.broker
    if place.found.form is not Form.SEALED or broker is None:
        return None
    if not broker.url:
        one = OneKey(await obtain_key(broker, place.platform, readiness=place.readiness))
        stack.callback(one.wipe)
        return one
    keys = VersionKeys(broker, place.platform, read_ca(broker))
    stack.callback(keys.wipe)
    await keys.first(SecretName(SecretKind.MODEL, place.target.name, place.target.version), place.readiness)
    return keys


async def _queue_keys(place: _Place, stack: AsyncExitStack) -> tuple[RecordOpener | None, QueueKeys | None]:
    """Return what opens sealed records, and the lease behind it; nothing where the queue takes none."""
    if not trust.wants_queue_key(place.config):
        return None, None
    broker = trust.by_name(place.broker, "sealed records")
    opener = RecordOpener(place.config.job_name, place.identity)
    keys = QueueKeys(broker, place.platform, trust.queue_secret(place.config), changed=opener.hold)
    opener.unknown = keys.ask_soon
    stack.callback(keys.wipe)
    await keys.first(place.readiness)
    return opener, keys


def _loader(place: _Place, keys: Keys | None, preparation: Preparation, threads: int) -> Loader:
    engine = place.config.engine
    options = EngineOptions(engine=engine, intra_op_threads=max(threads, 0))
    if keys is None or place.broker is None:
        return FlatLoader(place.found, place.target.name, options, preparation)
    return SealedLoader(
        model=place.target.name, key=keys.of(place.target.name), owner=read_owner_key(place.broker),
        options=options, preparation=preparation,
    )  # fmt: skip


async def _copy(place: _Place, loader: Loader, metrics: Metrics, stack: AsyncExitStack) -> Served:
    """Load the model once; batches come joined already, so its runner joins nothing."""
    target = place.target
    candidate = Candidate(target.version, target.folder)
    engine = await in_thread(partial(loader.load, candidate), name=f"load {target.name} {target.version}")
    worker = make_runner(
        engine, name=f"{target.name} {target.version}", model=target.name, drain=False, metrics=metrics
    )  # fmt: skip
    stack.push_async_callback(worker.close)
    return Served(
        name=target.name, version=target.version, signatures=engine.signatures, worker=worker, runtime=engine.runtime
    )


@dataclass(frozen=True, slots=True)
class FlatLoader:
    """Loads the one plain model of a flat folder, whatever its files are called."""

    found: Found
    model: str
    options: EngineOptions
    preparation: Preparation

    def load(self, candidate: Candidate) -> Engine:
        """Load it. Raises what the engine and its warm-up raise, FileTooLong or OSError."""
        files = self.found.files()
        kind = self.found.form if self.options.engine == AUTO else self.options.engine
        engine = load(str(kind), files, self.options)
        try:
            self.preparation.prepare(
                engine, files, model=self.model, version=candidate.version, path=str(candidate.folder)
            )
        except BaseException:
            engine.close()
            raise
        return engine
