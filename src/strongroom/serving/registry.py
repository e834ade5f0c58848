"""The versions of a model and their lives: START, LOADING, AVAILABLE, UNLOADING, END with the error that ended them.

A new version is loaded before an old one goes (availability preserving); one that fails changes nothing for those that
serve, and is tried again when its folder has changed. All methods belong to the event loop.
Source: spec `model-server.md` section 7.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import Refused, StrongroomError, Tampered
from strongroom.serving.batching import Runner, make_runner
from strongroom.serving.loading import Loader
from strongroom.serving.status import BadRequest, code_of
from strongroom.serving.threads import in_thread
from strongroom.serving.versions import Candidate, Fingerprint, fingerprint
from strongroom.tfserving.codes import Code
from strongroom.tfserving.signatures import Signature
from strongroom.tfserving.status import State, VersionStatus

MAX_ENDED: Final = 10  # ended versions that stay listed
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A version that can answer."""

    name: str
    version: int
    signatures: Mapping[str, Signature]
    worker: Runner


@dataclass(slots=True)
class _Life:
    """Where a version is in its life."""

    status: VersionStatus
    served: Served | None = None
    failed_with: Fingerprint | None = None
    refusal: StrongroomError | None = None


class ModelVersions:
    """One model. `settle` moves its versions towards those that are wanted."""

    def __init__(self, name: str, loader: Loader) -> None:
        self.name = name
        self._loader = loader
        self._lives: dict[int, _Life] = {}

    @property
    def available(self) -> list[Served]:
        """The versions that can answer, highest first."""
        found = [life.served for life in self._lives.values() if life.served is not None]
        return sorted(found, key=lambda served: served.version, reverse=True)

    def find(self, version: int | None) -> Served | None:
        """Return a version, or the highest one, if it can answer."""
        if version is None:
            return next(iter(self.available), None)
        life = self._lives.get(version)
        return life.served if life else None

    def refusals(self) -> list[StrongroomError]:
        """Return why versions were refused, not merely unloadable: tampered, or not under this key; highest first."""
        lives = (self._lives[version] for version in sorted(self._lives, reverse=True))
        return [life.refusal for life in lives if life.refusal is not None]

    def statuses(self) -> tuple[VersionStatus, ...]:
        """Return every version that is known, highest first."""
        return tuple(self._lives[version].status for version in sorted(self._lives, reverse=True))

    async def settle(self, wanted: Sequence[Candidate]) -> None:
        """Load what is wanted and new, then unload what is not wanted any more."""
        for candidate in wanted:
            if await self._is_due(candidate):
                await self._load(candidate)
        numbers = {candidate.version for candidate in wanted}
        if not numbers or any(served.version in numbers for served in self.available):
            for served in self.available:
                if served.version not in numbers:
                    await self._unload(served)
        self._forget()

    async def close(self) -> None:
        """Unload everything: runs that were accepted finish first."""
        for served in self.available:
            await self._unload(served)

    async def _is_due(self, candidate: Candidate) -> bool:
        life = self._lives.get(candidate.version)
        if life is None or (life.status.state is State.END and life.failed_with is None):
            return True
        if life.failed_with is None:
            return False
        return await in_thread(lambda: fingerprint(candidate.folder), name="look at versions") != life.failed_with

    async def _load(self, candidate: Candidate) -> None:
        version = candidate.version
        seen = await in_thread(lambda: fingerprint(candidate.folder), name="look at versions")
        life = self._lives[version] = _Life(VersionStatus(version, State.LOADING))
        _log.info("loading %s version %d", self.name, version)
        try:
            engine = await in_thread(lambda: self._loader.load(candidate), name=f"load {self.name} {version}")
        except Exception as problem:  # noqa: BLE001  # whatever a version is like, the others go on serving
            life.failed_with = seen
            life.refusal = problem if isinstance(problem, Tampered | Refused) else None
            life.status = _ended_by(version, problem)
            _log.error("%s version %d is not served: %s", self.name, version, _operators_view(problem))
            return
        worker = make_runner(engine, name=f"{self.name} {version}")
        life.served = Served(name=self.name, version=version, signatures=engine.signatures, worker=worker)
        life.status = VersionStatus(version, State.AVAILABLE)
        _log.info("Successfully loaded servable version {name: %s version: %d}", self.name, version)

    async def _unload(self, served: Served) -> None:
        life = self._lives[served.version]
        life.served = None
        life.status = VersionStatus(served.version, State.UNLOADING)
        await served.worker.close()
        life.status = VersionStatus(served.version, State.END)
        _log.info("unloaded %s version %d", self.name, served.version)

    def _forget(self) -> None:
        ended = sorted(version for version, life in self._lives.items() if life.status.state is State.END)
        for version in ended[:-MAX_ENDED]:
            del self._lives[version]


@dataclass(frozen=True, slots=True)
class Models:
    """Models by name, as the dataplane finds them."""

    models: Mapping[str, ModelVersions]

    def find(self, name: str, version: int | None) -> Served | None:
        """Return a version that can answer, the highest one for None."""
        model = self.models.get(name)
        return model.find(version) if model else None

    def labelled(self, name: str, label: str) -> int:
        """Return the version that a label means. Raises BadRequest: there are none yet."""
        del name
        raise BadRequest(f"Unrecognized servable version label: {label}")

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
        empty = next((name for name, model in self.models.items() if not model.available), None)
        return None if empty is None else f"{empty} has no version that is AVAILABLE"


def _ended_by(version: int, problem: BaseException) -> VersionStatus:
    """Return the status that clients see: the kind of error; the operator's log has its particulars."""
    if isinstance(problem, StrongroomError):
        text = f"{problem.code}: the version could not be loaded; the server's log says why"
        return VersionStatus(version, State.END, code_of(problem), text)
    return VersionStatus(version, State.END, Code.UNKNOWN, "the version could not be read; the server's log says why")


def _operators_view(problem: BaseException) -> str:
    if isinstance(problem, StrongroomError):
        return f"{problem.sentence}. {problem.fix} [{problem.code}]"
    return str(problem) or type(problem).__name__
