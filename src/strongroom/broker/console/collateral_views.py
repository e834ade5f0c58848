"""How long the reference data of each platform family still serves. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from strongroom.broker.console.facts import CollateralFact
from strongroom.broker.console.overview_views import SOON_DAYS, days_left
from strongroom.broker.console.wording import Badge, Moment, Tone, moment


@dataclass(frozen=True, slots=True, kw_only=True)
class PartView:
    """One part of the collateral."""

    part: str
    source: str
    standing: Badge
    days: str
    ends: Moment | None
    problem: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyView:
    """The reference data of one platform family; its first part to end decides how it stands."""

    family: str
    tee: str
    badge: Badge
    days: str
    meter: int  # of 30 days, in percent
    parts: tuple[PartView, ...]


def families(facts: Sequence[CollateralFact], now_ms: int) -> tuple[FamilyView, ...]:
    """Return the platform families, the one that runs out first at the top."""
    groups: dict[tuple[str, str], list[CollateralFact]] = {}
    for fact in facts:
        groups.setdefault((fact.family, fact.tee), []).append(fact)
    ordered = sorted(groups.items(), key=lambda each: _least(each[1], now_ms))
    return tuple(_family(key, parts, now_ms) for key, parts in ordered)


def _least(parts: Iterable[CollateralFact], now_ms: int) -> float:
    return min((-1.0 if each.problem else left for each in parts if (left := days_left(each, now_ms)) is not None),
               default=-1.0)  # fmt: skip


def _family(key: tuple[str, str], parts: list[CollateralFact], now_ms: int) -> FamilyView:
    least = _least(parts, now_ms)
    troubled = any(each.problem for each in parts)
    badge = Badge("Unusable", Tone.BAD) if troubled else days_badge(least)
    ordered = sorted(parts, key=lambda each: (each.ends_ms is not None, each.ends_ms or 0))
    return FamilyView(
        family=key[0],
        tee=key[1],
        badge=badge,
        days=days_text(None if troubled else least),
        meter=max(0, min(100, round(100 * least / 30))),
        parts=tuple(_part(each, now_ms) for each in ordered),
    )


def _part(fact: CollateralFact, now_ms: int) -> PartView:
    left = days_left(fact, now_ms)
    return PartView(
        part=fact.part,
        source=fact.source,
        standing=Badge("Unusable", Tone.BAD) if fact.problem else days_badge(left if left is not None else -1.0),
        days=days_text(left),
        ends=None if fact.ends_ms is None else moment(fact.ends_ms, now_ms),
        problem=fact.problem,
        fix=fact.fix,
    )


def days_badge(left: float) -> Badge:
    """Return how collateral stands by the days that it has left."""
    if left <= 0:
        return Badge("Run out", Tone.BAD)
    return Badge("Runs out soon", Tone.WARN) if left < SOON_DAYS else Badge("Current", Tone.GOOD)


def days_text(left: float | None) -> str:
    """Return days left in words."""
    if left is None:
        return "–"
    if left <= 0:
        return "none"
    return f"{int(left)}" if left >= 1 else "under 1"
