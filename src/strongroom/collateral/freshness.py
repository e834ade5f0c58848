"""How long a part of the collateral serves: until when, when to renew it, when to alarm, and what a grace excuses.

Pure; the caller passes time and jitter. A part ends at its nextUpdate or when it grows older than `max_age`, whichever
comes first; the root's revocation list, renewed yearly, ends at its nextUpdate alone. Source: specification section 12.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from strongroom.attestation import DEFAULT_MAX_COLLATERAL_AGE
from strongroom.collateral.api import Kind
from strongroom.errors import BadInput

REFRESH_SHARE: Final = 0.5
JITTER_SHARE: Final = 0.1  # renewals spread over the tenth of the window before its middle
ALARM_SHARE: Final = 0.9
CLOCK_TOLERANCE: Final = timedelta(minutes=5)
NEGATIVE_LIFETIME: Final = timedelta(minutes=5)  # for "there is no such thing"
FAILURE_LIFETIME: Final = timedelta(seconds=15)  # for "nobody answers": those who waited do not all ask again
SILENT_FOR: Final = timedelta(minutes=1)  # a source that does not answer at all is asked after the others
RETRY_INTERVAL: Final = timedelta(hours=1)  # between attempts to renew what still serves
MAX_GRACE: Final = timedelta(days=30)
_AGELESS: Final = frozenset({Kind.ROOT_CRL, Kind.PCK_CERT})


class BadFreshness(BadInput):
    """A rule about the age of collateral is out of range."""

    code = "SR-COLLATERAL-RULES"
    fix = "Give a maximum age of at least an hour, a grace of at most 30 days, and an evaluation number of 0 or more."


class Standing(StrEnum):
    """How a part stands at a time."""

    CURRENT = "current"
    DUE = "to be renewed"
    ALARM = "about to run out"
    GRACE = "run out, within the grace"
    ENDED = "run out"
    FUTURE = "not valid yet by this clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """The owner's rules. The defaults are the strict ones: a week, no grace."""

    max_age: timedelta = DEFAULT_MAX_COLLATERAL_AGE
    min_eval_num: int = 0  # lowest tcbEvaluationDataNumber that is accepted
    grace: timedelta = timedelta(0)  # how long something that ended still serves, with an audit record each time

    def __post_init__(self) -> None:
        if self.max_age < timedelta(hours=1) or self.min_eval_num < 0 or not timedelta(0) <= self.grace <= MAX_GRACE:
            raise BadFreshness(
                f"maximum age {self.max_age}, grace {self.grace}, lowest evaluation number {self.min_eval_num}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From when to when a part of the collateral counts, and for which kind."""

    kind: Kind
    issued: datetime
    until: datetime

    def end(self, rules: Freshness) -> datetime:
        """Return the last moment at which it serves without grace."""
        return self.until if self.kind in _AGELESS else min(self.until, self.issued + rules.max_age)

    def refresh_at(self, rules: Freshness, jitter: float = 0.0) -> datetime:
        """Return when to renew it; `jitter`, from 0 to 1, moves that forward so that many do not ask at once."""
        return self.issued + (self.end(rules) - self.issued) * (REFRESH_SHARE - JITTER_SHARE * jitter)

    def alarm_at(self, rules: Freshness) -> datetime:
        """Return when somebody should hear that it has not been renewed."""
        return self.issued + (self.end(rules) - self.issued) * ALARM_SHARE

    def standing(self, rules: Freshness, at: datetime) -> Standing:
        """Return how it stands at a time."""
        end = self.end(rules)
        if at < self.issued:
            return Standing.FUTURE
        if at > end:
            return Standing.GRACE if at <= end + rules.grace else Standing.ENDED
        if at >= self.alarm_at(rules):
            return Standing.ALARM
        return Standing.DUE if at >= self.refresh_at(rules) else Standing.CURRENT


SERVES: Final = frozenset({Standing.CURRENT, Standing.DUE, Standing.ALARM})
