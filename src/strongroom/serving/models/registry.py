"""The versions of a model and their lives: START, LOADING, AVAILABLE, UNLOADING, END with the error that ended them.

A new version is loaded before an old one goes (availability preserving); one that fails changes nothing for those that
serve, and is tried again when its folder has changed, or after a pause where only the moment was bad. A version that
goes is found by no new request and kept until the last one that found it has its answer. All methods belong to the
event loop. Source: spec `model-server.md` section 7.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from strongroom.errors import BadInput, Refused, StrongroomError, Tampered
from strongroom.serving.batching import Runner, make_runner
from strongroom.serving.engines import Engine
from strongroom.serving.models.loading import Loader
from strongroom.serving.models.versions import Candidate, Fingerprint, fingerprint
from strongroom.serving.status import BadRequest, code_of
from strongroom.serving.threads import in_thread
from strongroom.tfserving.codes import Code
from strongroom.tfserving.signatures import Signature
from strongroom.tfserving.status import State, VersionStatus

MAX_ENDED: Final = 10  # ended versions that stay listed
HELD_AT_MOST_S: Final = 30.0  # a version that goes waits so long for requests that found it
_log: Final = logging.getLogger(__name__)

Runners: TypeAlias = Callable[[Engine, str, Candidate], Runner]  # what runs a loaded version of the named model


def plain_runners(engine: Engine, model: str, candidate: Candidate) -> Runner:
    """Run a version as `make_runner` does by default."""
    return make_runner(engine, name=f"{model} {candidate.version}", model=model)


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class Served:
    """A version that can answer. Who holds one may use its worker: it is closed when nobody does."""

    name: str
    version: int
    signatures: Mapping[str, Signature]
    worker: Runner
    runtime: str = ""  # the engine's word for metrics: TF1, ONNX, …


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a load is tried again that failed for the moment's sake, and after which pause; negative = none."""

    times: int = 0
    pause_s: float = 60.0


class Pools:
    """How many versions of all models are loaded and unloaded at a time; 0 = one after the other."""

    def __init__(self, *, load_threads: int = 0, unload_threads: int = 0) -> None:
        self.loading = asyncio.Semaphore(max(load_threads, 1))
        self.unloading = asyncio.Semaphore(max(unload_threads, 1))


@dataclass(slots=True)
class _Life:
    """Where a version is in its life."""

    status: VersionStatus
    served: Served | None = None
    failed_with: Fingerprint | None = None
    refusal: StrongroomError | None = None
    busy: bool = False  # it is being loaded or unloaded
    pausing: asyncio.Event | None = None  # set it to end the pause before the next try


class ModelVersions:
    """One model. `begin` and `settle` move its versions towards those that are wanted."""

    def __init__(
        self,
        name: str,
        loader: Loader,
        *,
        retry: Retry | None = None,
        pools: Pools | None = None,
        runners: Runners = plain_runners,
        changed: Callable[[], None] = lambda: None,
        candid: bool = False,
    ) -> None:
        self.name = name
        self.unfinished: Mapping[int, str] = {}  # versions that are not whole yet, and what is missing
        self._loader = loader
        self._retry = retry or Retry()
        self._pools = pools or Pools()
        self._runners = runners
        self._tell = changed
        self._candid = candid  # whether clients may see why a load failed, as TensorFlow Serving's do
        self._held_at_most_s = HELD_AT_MOST_S
        self._lives: dict[int, _Life] = {}
        self._wanted: frozenset[int] = frozenset()
        self._tasks: set[asyncio.Task[None]] = set()
        self._moved: asyncio.Event = asyncio.Event()

    @property
    def available(self) -> list[Served]:
        """The versions that can answer, highest first."""
        found = [life.served for life in self._lives.values() if life.served is not None]
        return sorted(found, key=lambda served: served.version, reverse=True)

    def find(self, version: int | None) -> Served | None:
        """Return a version, or the highest one, if it can answer."""
        if version is not None:
            life = self._lives.get(version)
            return life.served if life else None
        highest = None
        for life in self._lives.values():
            if life.served is not None and (highest is None or life.served.version > highest.version):
                highest = life.served
        return highest

    def holds(self, version: int) -> bool:
        """Return whether a version is served, or on its way up or down."""
        life = self._lives.get(version)
        return life is not None and (life.served is not None or life.busy)

    def refusals(self) -> list[StrongroomError]:
        """Return why versions were refused, not merely unloadable: tampered, or not under this key; highest first."""
        lives = (self._lives[version] for version in sorted(self._lives, reverse=True))
        return [life.refusal for life in lives if life.refusal is not None]

    def statuses(self) -> tuple[VersionStatus, ...]:
        """Return every version that is known, highest first."""
        rows = {version: life.status for version, life in self._lives.items()}
        for version, missing in self.unfinished.items():
            if not self.holds(version):
                rows[version] = VersionStatus(version, State.START, Code.UNAVAILABLE, missing)
        return tuple(rows[version] for version in sorted(rows, reverse=True))

    async def settle(self, wanted: Sequence[Candidate]) -> None:
        """Load what is wanted and new, then unload what is not wanted any more; wait for both."""
        await self.begin(wanted)
        await self.settled()

    async def begin(self, wanted: Sequence[Candidate]) -> None:
        """Start to load and unload, without waiting for it."""
        due = [candidate for candidate in wanted if await self._is_due(candidate)]
        self._wanted = frozenset(candidate.version for candidate in wanted)
        for candidate in due:
            self._lives[candidate.version] = _Life(VersionStatus(candidate.version, State.LOADING), busy=True)
            self._spawn(self._bring_up(candidate))
        for version, life in self._lives.items():
            if life.pausing is not None and version not in self._wanted:
                life.pausing.set()
        self._retire()

    async def settled(self, *, through_pauses: bool = True) -> None:
        """Wait until nothing is being loaded or unloaded; with `through_pauses` also for every further try."""
        while any(life.busy and (through_pauses or life.pausing is None) for life in self._lives.values()):
            self._moved.clear()
            await self._moved.wait()

    async def close(self) -> None:
        """Unload everything: runs that were accepted finish first. For when no new request can come any more."""
        self._held_at_most_s = 0
        await self.begin(())
        await self.settled()

    async def _is_due(self, candidate: Candidate) -> bool:
        life = self._lives.get(candidate.version)
        if life is None:
            return True
        if life.served is not None or (life.busy and life.pausing is None):
            return False
        if life.failed_with is None:
            return True
        has_changed = await _look(candidate) != life.failed_with
        if has_changed and life.pausing is not None:
            life.pausing.set()
        return has_changed and not life.busy

    async def _bring_up(self, candidate: Candidate) -> None:
        """Load a version, as often as `retry` says while only the moment is bad."""
        life = self._lives[candidate.version]
        tries = 0
        while not await self._load(candidate, life) and tries < self._retry.times:
            tries += 1
            life.pausing = asyncio.Event()
            self._note()
            _log.info("%s version %d is tried again in %g s (%d of %d)", self.name, candidate.version,
                      max(self._retry.pause_s, 0), tries, self._retry.times)  # fmt: skip
            await _wait(life.pausing, self._retry.pause_s)
            life.pausing = None
            if candidate.version not in self._wanted:
                break
            life.status = VersionStatus(candidate.version, State.LOADING)
        life.busy = False
        self._note()
        self._retire()

    async def _load(self, candidate: Candidate, life: _Life) -> bool:
        """Load a version once; return whether that is its end, good or bad."""
        version = candidate.version
        async with self._pools.loading:
            seen = await _look(candidate)
            _log.info("loading %s version %d", self.name, version)
            try:
                engine = await in_thread(lambda: self._loader.load(candidate), name=f"load {self.name} {version}")
            except Exception as problem:  # noqa: BLE001  # whatever a version is like, the others go on serving
                return self._failed(life, version, problem, seen)
            has_changed = await _look(candidate) != seen
            if version in self._wanted and not has_changed:
                try:
                    self._take_in(life, engine, candidate)
                except Exception as problem:  # noqa: BLE001  # as above
                    await in_thread(engine.close, name=f"unload {self.name} {version}")
                    return self._failed(life, version, problem, seen)
                return True
        await in_thread(engine.close, name=f"unload {self.name} {version}")
        life.status = VersionStatus(version, State.END)
        if has_changed:
            life.status = VersionStatus(version, State.START, Code.UNAVAILABLE, "it changed while it was loaded")
            _log.warning("%s version %d changed while it was loaded: it is not served", self.name, version)
        return True

    def _failed(self, life: _Life, version: int, problem: Exception, seen: Fingerprint) -> bool:
        life.failed_with = seen
        life.refusal = problem if isinstance(problem, Tampered | Refused) else None
        life.status = _ended_by(version, problem, candid=self._candid)
        _log.error("%s version %d is not served: %s", self.name, version, _operators_view(problem))
        return isinstance(problem, BadInput | Tampered | Refused)  # its bytes are so, not the moment

    def _take_in(self, life: _Life, engine: Engine, candidate: Candidate) -> None:
        version = candidate.version
        life.served = Served(
            name=self.name,
            version=version,
            signatures=engine.signatures,
            worker=self._runners(engine, self.name, candidate),
            runtime=getattr(engine, "runtime", ""),
        )
        life.failed_with = None
        life.status = VersionStatus(version, State.AVAILABLE)
        _log.info("Successfully loaded servable version {name: %s version: %d}", self.name, version)
        _log.info("%s version %d: %s; %s", self.name, version, engine.description, life.served.worker.description)

    def _retire(self) -> None:
        """Unload what is not wanted, unless nothing would be left to answer."""
        if self._wanted and not any(served.version in self._wanted for served in self.available):
            return
        for version, life in self._lives.items():
            if life.served is not None and version not in self._wanted:
                self._spawn(self._unload(version, life, *_let_go(life)))
        self._forget()

    async def _unload(self, version: int, life: _Life, worker: Runner, is_free: asyncio.Event) -> None:
        await _wait(is_free, self._held_at_most_s)
        async with self._pools.unloading:
            await worker.close()
        life.status = VersionStatus(version, State.END)
        life.busy = False
        _log.info("unloaded %s version %d", self.name, version)
        self._forget()
        self._note()

    def _forget(self) -> None:
        ended = sorted(
            version
            for version, life in self._lives.items()
            if life.status.state in {State.END, State.START} and not life.busy
        )
        for version in ended[:-MAX_ENDED]:
            del self._lives[version]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._note()

    def _note(self) -> None:
        self._moved.set()
        self._tell()


@dataclass(frozen=True, slots=True)
class Models:
    """Models by name, as the dataplane finds them: without configuration and labels."""

    models: Mapping[str, ModelVersions] = field(default_factory=dict)

    def find(self, name: str, version: int | None) -> Served | None:
        """Return a version that can answer, the highest one for None."""
        model = self.models.get(name)
        return model.find(version) if model else None

    def labelled(self, name: str, label: str) -> int:
        """Return the version that a label means. Raises BadRequest: there are none."""
        del name
        raise unknown_label(label)

    def statuses(self, name: str) -> tuple[VersionStatus, ...]:
        """Return every version of a model, highest first."""
        model = self.models.get(name)
        return model.statuses() if model else ()

    def names(self) -> tuple[str, ...]:
        """Return the models' names."""
        return tuple(self.models)

    @property
    def not_ready_reason(self) -> str | None:
        """Name the first model without a version that can answer."""
        return first_unready(self.models.values())


def unknown_label(label: str) -> BadRequest:
    """Return the refusal of a label that names no version."""
    return BadRequest(f"Unrecognized servable version label: {label}")


def first_unready(models: Iterable[ModelVersions]) -> str | None:
    """Say of the first model without a version that can answer why that is so."""
    for model in models:
        if model.find(None) is None:
            return f"{model.name} has no version that is AVAILABLE"
    return None


def _let_go(life: _Life) -> tuple[Runner, asyncio.Event]:
    """Take a version out of sight; return its worker and what is set when no request holds it any more."""
    if life.served is None:
        raise AssertionError("the caller looked")
    loop, is_free, worker = asyncio.get_running_loop(), asyncio.Event(), life.served.worker
    weakref.finalize(life.served, _set_on, loop, is_free).atexit = False
    life.status = VersionStatus(life.served.version, State.UNLOADING)
    life.busy, life.served = True, None
    return worker, is_free


def _set_on(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)  # the last to hold it may be another thread


async def _wait(event: asyncio.Event, at_most_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), max(at_most_s, 0))
    except TimeoutError:
        return


async def _look(candidate: Candidate) -> Fingerprint:
    return await in_thread(lambda: fingerprint(candidate.folder), name="look at versions")


def _ended_by(version: int, problem: BaseException, *, candid: bool) -> VersionStatus:
    """Return the status that clients see: the kind of error, its particulars only where nothing is confidential."""
    if isinstance(problem, StrongroomError):
        may_see = candid and not isinstance(problem, Tampered | Refused)
        text = problem.sentence if may_see else "the version could not be loaded; the server's log says why"
        return VersionStatus(version, State.END, code_of(problem), f"{problem.code}: {text}")
    return VersionStatus(version, State.END, Code.UNKNOWN, "the version could not be read; the server's log says why")


def _operators_view(problem: BaseException) -> str:
    if isinstance(problem, StrongroomError):
        return f"{problem.sentence}. {problem.fix} [{problem.code}]"
    return str(problem) or type(problem).__name__
