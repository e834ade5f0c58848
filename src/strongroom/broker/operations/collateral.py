"""How long the collateral that a broker judges with still serves, part by part, for pages, metrics and the doctor.

World: the files of the source, or the cache of a live one. Each part is verified; what does not hold says why. A look
takes some milliseconds for each family, so it is repeated once a minute at most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from strongroom.attestation import Anchor
from strongroom.broker.admin.views import CollateralView
from strongroom.collateral.assemble import Exchange
from strongroom.collateral.cache import Cache
from strongroom.collateral.examination import PartFinding, examine_all
from strongroom.collateral.file_source import FileSource
from strongroom.collateral.freshness import Freshness
from strongroom.collateral.settings import DEFAULT_CACHE, CollateralSettings
from strongroom.errors import StrongroomError

LOOK_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralPlace:
    """Where collateral lies: a folder of files (or one of them), or the cache of the sources in strongroom.toml."""

    files: Path | None
    cache: Path | None
    rules: Freshness = field(default_factory=Freshness)

    @classmethod
    def of(cls, folder: Path, settings: CollateralSettings | None, files: Path) -> CollateralPlace:
        """Return a workspace's: `settings` is what [collateral] says, None where `files` serve."""
        if settings is None:
            return cls(files=files, cache=None)
        return cls(files=None, cache=folder / (settings.cache or DEFAULT_CACHE), rules=settings.rules)

    def findings(self, *, anchors: Sequence[Anchor], at: datetime) -> tuple[PartFinding, ...]:
        """Return what each part is. A place that cannot be read is one finding."""
        try:
            exchanges = list(self._exchanges())
        except StrongroomError as problem:
            where = str(self.files or self.cache)
            return (
                PartFinding(
                    what="collateral", source=where, problem=problem.sentence, code=problem.code, fix=problem.fix
                ),
            )
        return tuple(examine_all(exchanges, anchors=anchors, rules=self.rules, at=at))

    def _exchanges(self) -> Iterator[tuple[Exchange, str]]:
        if self.files is not None:
            paths = [self.files] if self.files.is_file() else sorted(self.files.glob("*.json"))
            for path in paths:
                source = FileSource(path)
                for request in source.requests():
                    yield Exchange(request, source.answer(request)), path.name
        if self.cache is not None and self.cache.is_dir():
            for _, entry in Cache(self.cache).entries():
                yield Exchange(entry.request, entry.answer), entry.source


class CollateralWatch:
    """What the last look found. Threads may share it."""

    def __init__(
        self, place: CollateralPlace, *, anchors: Sequence[Anchor], clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._place = place
        self._anchors = tuple(anchors)
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._looked: float | None = None
        self._found: tuple[PartFinding, ...] = ()

    def findings(self) -> tuple[PartFinding, ...]:
        """Return each part, as of at most a minute ago."""
        with self._lock:
            now = self._monotonic()
            if self._looked is None or now - self._looked > LOOK_EVERY_S:
                self._found = self._place.findings(anchors=self._anchors, at=self._clock())
                self._looked = now
            return self._found

    def views(self) -> list[CollateralView]:
        """Return each part as the administration shows it."""
        return [view_of(finding) for finding in self.findings()]

    def days_left(self) -> float:
        """Return the days until the first part ends; NaN where there is none, negative once it has ended."""
        at = self._clock()
        left = [days for each in self.findings() if (days := each.days_left(at)) is not None]
        return min(left, default=float("nan"))


def view_of(finding: PartFinding) -> CollateralView:
    """Return a part as the administration shows it; its family is the part's own name for it."""
    words = finding.what.split()
    family = next((word for word in words if len(word) == 12 and set(word) <= set("0123456789ABCDEFabcdef")), "")
    return CollateralView(
        family=family.upper() or "all", tee=next((word for word in words if word in {"SGX", "TDX"}), ""),
        part=finding.what, source=finding.source,
        ends_ms=None if finding.ends is None else int(finding.ends.timestamp() * 1000),
        standing=finding.standing.value if finding.standing else "not usable", problem=finding.problem, fix=finding.fix,
    )  # fmt: skip
