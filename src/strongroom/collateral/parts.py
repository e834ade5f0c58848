"""What a fetch comes to: a verified part, the use of a grace, or what each of the sources had to say. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from strongroom.attestation.rollback import CollateralRollback
from strongroom.collateral.answering import SourceFailed
from strongroom.collateral.api import Kind, Request
from strongroom.collateral.assemble import Exchange
from strongroom.collateral.checks import Checked
from strongroom.collateral.folder import CollateralUnavailable
from strongroom.collateral.seen import ClockBehind
from strongroom.errors import Refused, StrongroomError

_GONE: Final = 410  # HTTP's word for it


class CollateralTooOld(Refused):
    """No source has collateral that is recent enough for the owner's rules."""

    code = "SR-COLLATERAL-TOO-OLD"
    fix = "Name a second source; if you accept older collateral, say so with max_age or grace in [collateral]."


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One verified answer, its source, and when it was fetched."""

    exchange: Exchange
    source: str
    fetched: datetime
    checked: Checked


@dataclass(frozen=True, slots=True, kw_only=True)
class GraceUse:
    """One use of collateral that had ended, within the owner's grace."""

    at: datetime
    fmspc: str
    parts: tuple[Part, ...]


class Audit(Protocol):
    """Where uses of the grace are recorded."""

    def __call__(self, use: GraceUse) -> None:
        """Record one use, or raise: without a record nothing is used."""


class AllFailed(Exception):
    """No source has a part that serves; `stale` is one that would within the grace. It never leaves this room."""

    def __init__(self, request: Request, failures: Sequence[tuple[str, StrongroomError]], stale: Part | None) -> None:
        super().__init__(request.path)
        self.stale = stale
        self._request = request
        self._failures = tuple(failures)

    @property
    def definitive(self) -> bool:
        """Whether every source said that there is no such thing."""
        return all(isinstance(error, SourceFailed) and error.definitive for _, error in self._failures)

    @property
    def retired(self) -> bool:
        """Whether a source said that there is no such thing any more."""
        return any(isinstance(error, SourceFailed) and error.status == _GONE for _, error in self._failures)

    def error(self) -> StrongroomError:
        """Return the refusal that says what each source said; the gravest of them gives it its code."""
        said = "; ".join(f"{name}: {_without(name, error)}" for name, error in self._failures) or "none is configured"
        sentence = f"no source has {_shown(self._request)}: {said}"
        for kind in (CollateralRollback, ClockBehind, CollateralTooOld):
            if any(isinstance(error, kind) for _, error in self._failures):
                return kind(sentence)
        fix = self._failures[0][1].fix if len(self._failures) == 1 else CollateralUnavailable.fix
        return CollateralUnavailable(sentence, fix=fix)


def _shown(request: Request) -> str:
    """Return a request for people; what names a single machine is left out."""
    return request.path if request.kind in {Kind.PCK_CERT, Kind.PCK_CERTS} else request.path_and_query()[:160]


def _without(name: str, error: StrongroomError) -> str:
    """Return an error's sentence without the source's name, which its list gives already."""
    return error.sentence.removeprefix(f"{name}: ").removeprefix(f"{name} ")
