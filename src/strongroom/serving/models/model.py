"""One model of the configuration: its folder, policy and labels, and the versions that follow from them.

World: looks into the base path. All methods belong to the event loop. Source: spec `model-server.md` section 7.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.errors import StrongroomError
from strongroom.serving.models.completeness import LOOK_AGAIN_S, STILL_CHANGING, Gate
from strongroom.serving.models.loading import Loader
from strongroom.serving.models.registry import ModelVersions, Pools, Retry, Runners, plain_runners
from strongroom.serving.models.versions import Candidate, Listing, latest, list_versions
from strongroom.serving.threads import in_thread
from strongroom.tfserving.config import AllVersions, LabelRules, ModelEntry, Policy, Specific
from strongroom.tfserving.status import State, VersionStatus

FIRST_LOOKS: Final = 6  # while a folder is still being written; then others need not wait for it any more
_log: Final = logging.getLogger("strongroom.serving")


@dataclass(frozen=True, slots=True)
class Source:
    """What opens a model's versions. `is_plain`: the operator can read them, so clients may see why a load failed."""

    loader: Loader
    gate: Gate
    is_plain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Machinery:
    """What all models of a server share."""

    pools: Pools
    retry: Retry
    rules: LabelRules
    runners: Runners = plain_runners


class Model:
    """A model that is followed: `look` sees what its folder holds and starts what follows from it."""

    def __init__(
        self, entry: ModelEntry, source: Source, machinery: Machinery, *, changed: Callable[[], None] = lambda: None
    ) -> None:
        self.entry = entry
        self.active: dict[str, int] = {}  # labels that requests may use
        self.warnings: tuple[str, ...] = ()
        self._gate = source.gate
        self._rules = machinery.rules
        self._tell = changed
        self._looking = asyncio.Lock()
        self._has_left = False
        self.versions = ModelVersions(
            entry.name,
            source.loader,
            retry=machinery.retry,
            pools=machinery.pools,
            runners=machinery.runners,
            changed=self._changed,
            candid=source.is_plain,
        )

    @property
    def name(self) -> str:
        """The name that requests use."""
        return self.entry.name

    async def look(self) -> bool:
        """See what the folder holds, start what follows from it; return whether something is still being written."""
        async with self._looking:
            if self._has_left:
                return False
            base = Path(self.entry.base_path)
            listing = await in_thread(lambda: list_versions(base, model=self.name), name="look at versions")
            unfinished = await in_thread(lambda: self._unfinished(listing.candidates), name="look at versions")
            eligible = [each for each in listing.candidates if each.version not in unfinished]
            wanted, odd = chosen(self.entry.policy, eligible, listing)
            self._warn((*listing.warnings, *odd), unfinished)
            self.versions.unfinished = unfinished
            await self.versions.begin(wanted)
            return STILL_CHANGING in unfinished.values()

    async def come_up(self) -> None:
        """Look until it is decided what lies there, then wait until every version is AVAILABLE or has failed."""
        for _ in range(FIRST_LOOKS):
            if not await self.look():
                break
            await asyncio.sleep(LOOK_AGAIN_S)
        await self.versions.settled()

    async def leave(self) -> None:
        """Follow the folder no more, and unload every version: requests that found one are answered."""
        async with self._looking:
            self._has_left = True
            self.versions.unfinished = {}
            await self.versions.begin(())

    def configure(self, entry: ModelEntry) -> None:
        """Take another policy and other labels; the next look follows them."""
        self.entry = entry
        if self._rules.when_available:
            self.active = {label: self.active[label] for label in entry.labels if label in self.active}
        else:
            self.active = dict(entry.labels)
        self._changed()

    def failure(self) -> str | None:
        """Return why no version can answer, for people and clients; None where one can, or nothing is wrong."""
        if self.versions.find(None) is not None:
            return None
        ended = [status for status in self.versions.statuses() if status.state is State.END and status.message]
        if not ended:
            return None
        return _failure_text(self.name, ended[0])

    def lack(self) -> str:
        """Return why there is nothing to load."""
        pending = [f"version {version}: {text}" for version, text in self.versions.unfinished.items()]
        return "; ".join([*self.warnings, *pending]) or "no version is wanted"

    def refusal(self) -> StrongroomError | None:
        """Return why the highest version was refused, where it was and no other can answer."""
        refusals = self.versions.refusals()
        return refusals[0] if refusals and self.versions.find(None) is None else None

    def _unfinished(self, candidates: Sequence[Candidate]) -> dict[int, str]:
        found = {}
        for candidate in candidates:
            if not self.versions.holds(candidate.version):
                missing = self._gate.unfinished(candidate)
                if missing is not None:
                    found[candidate.version] = missing
        return found

    def _changed(self) -> None:
        if self._rules.when_available:
            for label, version in self.entry.labels.items():
                if self.versions.find(version) is not None and self.active.get(label) != version:
                    self.active[label] = version
                    _log.info("label %s of model %s means version %d", label, self.name, version)
        self._tell()

    def _warn(self, warnings: tuple[str, ...], unfinished: Mapping[int, str]) -> None:
        """Log what is odd, once."""
        for warning in warnings:
            if warning not in self.warnings:
                _log.warning("%s", warning)
        self.warnings = warnings
        for version, missing in unfinished.items():
            if self.versions.unfinished.get(version) != missing:
                level = logging.INFO if missing == STILL_CHANGING else logging.WARNING
                _log.log(level, "%s version %d is not served yet: %s", self.name, version, missing)


def chosen(
    policy: Policy, eligible: Sequence[Candidate], listing: Listing
) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    """Return the versions that a policy wants, highest first, and what is odd about it."""
    if isinstance(policy, AllVersions):
        return tuple(eligible), ()
    if isinstance(policy, Specific):
        there = {candidate.version for candidate in listing.candidates}
        return tuple(each for each in eligible if each.version in policy.versions), tuple(_missing(policy, there))
    return latest(eligible, policy.count), ()


def _missing(policy: Specific, there: Iterable[int]) -> Iterable[str]:
    if not policy.versions:
        yield "no specific versions are named: nothing is served"
    for version in sorted(policy.versions - set(there)):
        yield f"version {version} is named by the version policy and is not there"


def _failure_text(name: str, status: VersionStatus) -> str:
    return f"{{name: {name} version: {status.version}}} due to error: {status.code.name}: {status.message}"
