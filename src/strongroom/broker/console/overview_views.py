"""The first page: what needs attention, and the few numbers that say whether all is well. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.broker.console.facts import BrokerFact, CollateralFact, GroundFact, LeaseFact
from strongroom.broker.console.wording import DAY_MS, Badge, Moment, Tone, count, moment, span

SILENT_AFTER_MS: Final = 60_000  # a broker that has said nothing for so long is taken to be away
SOON_DAYS: Final = 5
BARS: Final = 24
HOUR_MS: Final = 3_600_000
_CHART_HEIGHT: Final = 48
LIVE: Final = "live"
LAPSED: Final = "lapsed"  # its time ran out, and nobody gave it back


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Something to do: what is wrong, what to do about it, and the page that shows more."""

    tone: Tone
    what: str
    todo: str
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number with its name."""

    name: str
    number: str
    note: str
    href: str
    tone: Tone = Tone.QUIET


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One hour of the chart, in the units of its drawing: from the bottom grants, on top of them denials."""

    x: int
    granted_y: float
    granted_height: float
    denied_y: float
    denied_height: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerView:
    """One broker, and whether it has been heard of."""

    id: str
    address: str
    version: str
    state: Badge
    since: Moment
    seen: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """Decisions of the last 24 hours."""

    granted: int
    denied: int
    bars: tuple[Bar, ...]
    complete: bool = True  # False: there were more than were counted


def today(recent: Iterable[tuple[int, bool]], now_ms: int, *, complete: bool = True) -> Today:
    """Count decisions, given by time (ms) and whether each was a grant, over the last 24 hours, hour by hour."""
    grants, denials = [0] * BARS, [0] * BARS
    for at_ms, granted in recent:
        age = max(0, now_ms - at_ms)
        if age < BARS * HOUR_MS:
            (grants if granted else denials)[BARS - 1 - age // HOUR_MS] += 1
    most = max(1, *(grant + denial for grant, denial in zip(grants, denials, strict=True)))
    bars = tuple(_bar(index, grants[index], denials[index], most) for index in range(BARS))
    return Today(granted=sum(grants), denied=sum(denials), bars=bars, complete=complete)


def _bar(index: int, granted: int, denied: int, most: int) -> Bar:
    granted_height, denied_height = (round(_CHART_HEIGHT * each / most, 1) for each in (granted, denied))
    hours = BARS - 1 - index
    when = "in the last hour" if hours == 0 else f"{hours} to {hours + 1} hours ago"
    return Bar(
        x=index * 10,
        granted_y=round(_CHART_HEIGHT - granted_height, 1),
        granted_height=granted_height,
        denied_y=round(_CHART_HEIGHT - granted_height - denied_height, 1),
        denied_height=denied_height,
        label=f"{when}: {granted} granted, {denied} denied",
    )


def brokers(facts: Iterable[BrokerFact], now_ms: int) -> tuple[BrokerView, ...]:
    """Return the brokers of the store, those that answer first."""
    views = [
        BrokerView(
            id=fact.id,
            address=fact.address,
            version=fact.version,
            state=Badge("Running", Tone.GOOD) if _heard(fact, now_ms) else Badge("Not heard of", Tone.WARN),
            since=moment(fact.started_ms, now_ms),
            seen=moment(fact.seen_ms, now_ms),
        )
        for fact in sorted(facts, key=lambda each: -each.seen_ms)
    ]
    return tuple(views)


def _heard(fact: BrokerFact, now_ms: int) -> bool:
    return now_ms - fact.seen_ms <= SILENT_AFTER_MS


def attention(
    ground: GroundFact, leases: Sequence[LeaseFact], now_ms: int,
    *, proposals: int = 0, has_rules: bool = True,
) -> tuple[Attention, ...]:  # fmt: skip
    """Return what somebody should do something about, the worst first."""
    found = [
        Attention(
            tone=Tone.WARN, what=f"Broker {fact.id} has not been heard of for {span(now_ms - fact.seen_ms)}.",
            todo="Look at its log; the other brokers of this store go on without it.",
        )
        for fact in ground.brokers if not _heard(fact, now_ms)
    ]  # fmt: skip
    found += _collateral_attention(ground.collateral, now_ms)
    found += _lease_attention(leases, now_ms)
    if proposals:
        waits = "A policy change waits" if proposals == 1 else f"{proposals} policy changes wait"
        found.append(
            Attention(
                tone=Tone.WARN, what=f"{waits} for another owner.",
                todo="Read what would change, then sign it or withdraw it.", href="policy",
            )
        )  # fmt: skip
    if not has_rules:
        found.append(
            Attention(
                tone=Tone.NOTE, what="No rule is in force, so nothing is released to anybody.",
                todo="Measure a program and trust it: strongroom policy trust.", href="policy",
            )
        )  # fmt: skip
    order = (Tone.BAD, Tone.WARN, Tone.NOTE)
    return tuple(sorted(found, key=lambda each: order.index(each.tone)))


def _collateral_attention(collateral: Sequence[CollateralFact], now_ms: int) -> list[Attention]:
    found = []
    days = {fact: days_left(fact, now_ms) for fact in collateral}
    for family in dict.fromkeys(fact.family for fact in collateral):
        parts = [fact for fact in collateral if fact.family == family]
        troubled = next((fact for fact in parts if fact.problem), None)
        left = min((value for fact in parts if (value := days[fact]) is not None), default=None)
        if troubled is not None:
            found.append(
                Attention(tone=Tone.BAD, what=f"Collateral for {family}: {troubled.problem}", todo=troubled.fix,
                          href="collateral")
            )  # fmt: skip
        elif left is not None and left < SOON_DAYS:
            over = left <= 0
            what = "has run out" if over else f"runs out in {count(max(1, int(left)), 'day')}"
            found.append(
                Attention(
                    tone=Tone.BAD if over else Tone.WARN, what=f"Collateral for platform family {family} {what}.",
                    todo="Renew it with strongroom collateral fetch, or see why the refresh does not reach its source.",
                    href="collateral",
                )
            )  # fmt: skip
    return found


def _lease_attention(leases: Sequence[LeaseFact], now_ms: int) -> list[Attention]:
    late = [each for each in leases if is_lost(each, now_ms)]
    if not late:
        return []
    return [
        Attention(
            tone=Tone.WARN, what=f"{count(len(late), 'replica')} lost its lease without giving it back."
            if len(late) == 1 else f"{len(late)} replicas lost their leases without giving them back.",
            todo="See whether they still run, and their last denial: a replica renews with fresh evidence.",
            href="replicas",
        )
    ]  # fmt: skip


def is_lost(fact: LeaseFact, now_ms: int) -> bool:
    """Return whether a lease ran out though its holder used to renew it; one that never was may just be over."""
    return fact.state in {LIVE, LAPSED} and fact.expires_ms <= now_ms and fact.renewals > 0


def days_left(fact: CollateralFact, now_ms: int) -> float | None:
    """Return for how many days a part of the collateral serves; negative once it has ended."""
    return None if fact.ends_ms is None else (fact.ends_ms - now_ms) / DAY_MS


def least_days(collateral: Iterable[CollateralFact], now_ms: int) -> float | None:
    """Return the days that are left until the first part ends."""
    return min((left for fact in collateral if (left := days_left(fact, now_ms)) is not None), default=None)
