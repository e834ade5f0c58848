"""The models of a server: what requests find, and how the configuration moves from one state to the next.

A configuration is checked whole before anything of it is applied; new models are loaded beside the old ones and take
their place in one step, so no request meets a half. All methods belong to the event loop. World: the configuration
file, the clock, the log. Source: spec `model-server.md` sections 3 (HandleReloadConfigRequest), 5, 6, 7.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from strongroom.errors import StrongroomError, Unreachable
from strongroom.pki import disk
from strongroom.serving.models.model import Machinery, Model, Source
from strongroom.serving.models.registry import (
    Pools,
    Retry,
    Runners,
    Served,
    first_unready,
    plain_runners,
    unknown_label,
)
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.options import ModelOptions
from strongroom.serving.status import ModelsNotAvailable
from strongroom.serving.threads import in_thread
from strongroom.tfserving.config import (
    MAX_CONFIG_BYTES,
    LabelRules,
    ModelEntry,
    ServerConfig,
    check_labels,
    check_transition,
    parse_server_config,
    server_config_of,
)
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.status import VersionStatus

MAX_GONE: Final = 100  # models that were removed and stay listed
LOOK_AT_MOST_S: Final = 60.0  # a folder that does not answer holds up the others no longer
TRY_AGAIN_S: Final = 10.0  # a polled configuration whose models did not come up
_log: Final = logging.getLogger("strongroom.serving")


class NothingToServe(ModelsNotAvailable):
    """No version of a model could be loaded."""

    code = "SR-SERVE-NO-VERSION"
    fix = "The log above says what is wrong with each version; correct it and start again."


class LabelsUnknown(Unreachable):
    """A label was asked for before the server knows its labels."""

    code = "SR-SERVE-LABELS"
    fix = "Ask again when the server is ready."


class ModelManager:
    """Every model of a server. `sources` says what opens a model's versions, `runners` what runs them."""

    def __init__(
        self,
        options: ModelOptions,
        *,
        sources: Callable[[ModelEntry], Source],
        runners: Runners = plain_runners,
        metrics: Metrics | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._options = options
        self._sources = sources
        self._metrics = metrics or Metrics()
        self._tell = changed
        self._machinery = Machinery(
            pools=Pools(load_threads=options.load_threads, unload_threads=options.unload_threads),
            retry=Retry(times=options.max_load_retries, pause_s=options.load_retry_s),
            rules=LabelRules(
                for_unavailable=options.labels_for_unavailable, when_available=options.labels_when_available
            ),
            runners=runners,
        )
        self._config: ServerConfig | None = None
        self._models: dict[str, Model] = {}
        self._gone: dict[str, Model] = {}
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._nudges = (asyncio.Event(), asyncio.Event())  # for who follows folders, and the file
        self._file_read: bytes | None = None  # the configuration file's content that was looked at last

    # What requests ask: `dataplane.Catalogue`.

    def find(self, name: str, version: int | None) -> Served | None:
        """Return a version that can answer, the highest one for None."""
        model = self._models.get(name)
        return model.versions.find(version) if model is not None else None

    def labelled(self, name: str, label: str) -> int:
        """Return the version that a label means. Raises BadRequest or LabelsUnknown."""
        if self._config is None:
            raise LabelsUnknown(f"Model labels does not init yet.{label}")
        model = self._models.get(name)
        version = model.active.get(label) if model is not None else None
        if version is None:
            raise unknown_label(label)
        return version

    def statuses(self, name: str) -> tuple[VersionStatus, ...]:
        """Return every version of a model that is known, highest first; also of one that was removed."""
        model = self._models.get(name) or self._gone.get(name)
        return model.versions.statuses() if model is not None else ()

    def names(self) -> tuple[str, ...]:
        """Return the models that are configured."""
        return tuple(self._models)

    @property
    def not_ready_reason(self) -> str | None:
        """Why not every model can answer, None where all can."""
        if self._config is None:
            return "the models are not configured yet"
        for model in self._models.values():
            if model.versions.find(None) is None:
                return f"{first_unready([model.versions])}: {model.failure() or model.lack()}"
        return None

    @property
    def config(self) -> ServerConfig:
        """The configuration that is in force."""
        return self._config or ServerConfig(models=())

    # How it moves.

    async def first_config(self) -> ServerConfig:
        """Return the configuration that the options name. Raises BadConfigText, ConfigRefused, FileTooLong, OSError."""
        options = self._options
        if options.config_file is not None:
            self._file_read = await self._read_file(options.config_file)
            return parse_server_config(self._file_read, file=str(options.config_file), first=True)
        return ServerConfig(models=(ModelEntry(name=options.name, base_path=str(options.base_path)),))

    async def start(self, config: ServerConfig) -> None:
        """Load the first configuration. A model with nothing to load is waited for by whoever asks for it.

        Raises ConfigConflict for labels that may not be there yet, NothingToServe or the refusal of a sealed version
        where all versions of a model ended with an error.
        """
        check_labels(config, old=None, rules=self._machinery.rules, available=self._is_available)
        self._models = {entry.name: self._model(entry) for entry in config.models}
        self._take(config)
        for warning in config.warnings:
            _log.warning("%s", warning)
        if self._options.poll_wait_s < 0:
            _log.warning("--file_system_poll_wait_seconds is negative: folders are looked at when asked for alone")
            return
        await asyncio.gather(*(model.come_up() for model in self._models.values()))
        for model in self._models.values():
            if (refusal := model.refusal()) is not None:
                raise refusal  # stop: waiting or asking again makes a changed model no better
        if failures := list(filter(None, (model.failure() for model in self._models.values()))):
            raise NothingToServe(f"{len(failures)} servable(s) did not become available: {_joined(failures)}")

    async def follow(self) -> None:
        """Follow folders and the configuration file, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_folders())
            tasks.create_task(self._follow_file())

    def nudge(self) -> None:
        """Read the configuration file and look at every folder at once."""
        self._file_read = None
        for nudge in self._nudges:
            nudge.set()

    async def reload(self, config: ProtoMessage) -> None:
        """Serve the models of a ModelServerConfig and no others; return when each new one can answer.

        Raises what `apply` and `server_config_of` raise, and has changed nothing then.
        """
        await self.apply(server_config_of(config))

    async def apply(self, config: ServerConfig) -> None:
        """Take a configuration in the present one's place, whole or not at all, also where the caller goes away.

        Raises ConfigRefused, ConfigConflict, or ModelsNotAvailable where a new model has no version that can answer.
        """
        await asyncio.shield(self._spawn(self._apply(config)))

    async def close(self) -> None:
        """Unload everything: runs that were accepted finish first."""
        models = (*self._models.values(), *self._gone.values())
        await asyncio.gather(*(model.versions.close() for model in models))
        for task in self._tasks:
            task.cancel()

    async def _apply(self, config: ServerConfig) -> None:
        async with self._changing:
            old = self.config
            check_transition(old, config)
            check_labels(config, old=old, rules=self._machinery.rules, available=self._is_available)
            staged = {entry.name: self._model(entry) for entry in config.models if self._is_new(entry)}
            await asyncio.gather(*(model.come_up() for model in staged.values()))
            failed = [model for model in staged.values() if model.versions.find(None) is None]
            if failed:
                await asyncio.gather(*(model.versions.close() for model in staged.values()))
                raise _not_available(failed)
            changed = self._replace(config, staged)
        for model in changed:
            await model.look()
        await asyncio.gather(*(model.versions.settled(through_pauses=False) for model in changed))

    def _replace(self, config: ServerConfig, staged: dict[str, Model]) -> list[Model]:
        """Swap models in one step; return those that stay and are configured otherwise."""
        models, stays = {}, []
        for entry in config.models:
            model = staged.get(entry.name)
            if model is None:
                model = self._models[entry.name]
                if model.entry != entry:
                    stays.append(model)
            models[entry.name] = model
            self._gone.pop(entry.name, None)
        leaving = [model for name, model in self._models.items() if models.get(name) is not model]
        self._models = models
        self._take(config)
        for model in leaving:
            if model.name not in models:
                self._gone[model.name] = model
            self._spawn(model.leave())
        for name in list(self._gone)[:-MAX_GONE]:
            del self._gone[name]
        for warning in config.warnings:
            _log.warning("%s", warning)
        _log.info("models in force: %s", ", ".join(models) or "none")
        return stays

    def _take(self, config: ServerConfig) -> None:
        self._config = config
        self._metrics.set_models(self._models)
        for entry in config.models:
            self._models[entry.name].configure(entry)

    def _model(self, entry: ModelEntry) -> Model:
        return Model(replace(entry, labels={}), self._sources(entry), self._machinery, changed=self._tell)

    def _is_new(self, entry: ModelEntry) -> bool:
        model = self._models.get(entry.name)
        return model is None or model.entry.base_path != entry.base_path

    def _is_available(self, name: str, version: int) -> bool:
        return self.find(name, version) is not None

    # What it watches.

    async def _follow_folders(self) -> None:
        pause = self._options.poll_wait_s if self._options.poll_wait_s > 0 else None
        while True:
            await _pause(self._nudges[0], pause)
            looks = [self._spawn(model.look()) for model in self._models.values()]
            if looks:
                await asyncio.wait(looks, timeout=LOOK_AT_MOST_S)

    async def _follow_file(self) -> None:
        file = self._options.config_file
        if file is None:
            return
        pause = self._options.config_poll_s if self._options.config_poll_s > 0 else None
        again_at = 0.0
        loop = asyncio.get_running_loop()
        while True:
            await _pause(self._nudges[1], pause)
            try:
                data = await self._read_file(file)
                if data == self._file_read and not 0 < again_at <= loop.time():
                    continue
                self._file_read, again_at = data, 0.0
                await self.apply(parse_server_config(data, file=str(file)))
            except (StrongroomError, OSError) as problem:
                text = problem.sentence if isinstance(problem, StrongroomError) else str(problem)
                _log.error("%s is not applied, the present configuration stays: %s", file, text)
                again_at = loop.time() + TRY_AGAIN_S if isinstance(problem, ModelsNotAvailable) else 0.0

    async def _read_file(self, file: Path) -> bytes:
        return await in_thread(lambda: disk.read_bounded(file, limit=MAX_CONFIG_BYTES), name="read models")

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None and not isinstance(problem, StrongroomError):
            _log.error("following the models failed in an unforeseen way", exc_info=problem)


def _not_available(models: Iterable[Model]) -> ModelsNotAvailable:
    texts = [model.failure() or f"{{name: {model.name}}} due to error: NOT_FOUND: {model.lack()}" for model in models]
    return ModelsNotAvailable(f"{len(texts)} model(s) did not become available: {_joined(texts)}")


def _joined(failures: Iterable[str]) -> str:
    return "{" + "".join(f"{each}, " for each in failures) + "}"


async def _pause(nudge: asyncio.Event, seconds: float | None) -> None:
    """Wait, or less where `nudge` is called."""
    try:
        await asyncio.wait_for(nudge.wait(), seconds)
    except TimeoutError:
        return
    nudge.clear()
