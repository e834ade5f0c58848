"""From when until when each signed part counts, judged at a time that the caller gives.

A check of a signature can be remembered; a check of time cannot. Each step therefore hands its windows on, in the
order of the specification, so that they can be asked again at another time with the same answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from strongroom.attestation.codes import EvidenceCode, EvidenceRefused
from strongroom.errors import BadInput, StrongroomError

_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}Z"
)  # newer Pythons read 24:00


class TimeWithoutZone(BadInput):
    """A time to judge at does not say which zone it is in."""

    code = "SR-TIME-ZONE"
    fix = "Pass a time with its zone, such as datetime.now(UTC)."


NO_GRACE: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class Window:
    """The time span in which one signed part counts; both ends belong to it.

    `excusable` parts (CRLs, TCB info, QE identity) may be used a while longer where the caller gives a grace;
    certificates may not. `step` is the verification step that asks.
    """

    what: str
    since: datetime
    until: datetime
    code: EvidenceCode
    excusable: bool = False
    step: int | None = None

    def require(self, at: datetime, grace: timedelta = NO_GRACE) -> None:
        """Raise the part's own refusal unless `at` lies in the window, or behind it by no more than the grace."""
        if at < self.since:
            raise self._refusal("counts from", self.since, at)
        if at > self.until and not (self.excusable and at - self.until <= grace):
            raise self._refusal("counted until", self.until, at)

    def excused(self, at: datetime) -> bool:
        """Whether only a grace can have let this part pass."""
        return at > self.until

    def _refusal(self, words: str, end: datetime, at: datetime) -> EvidenceRefused:
        sentence = f"the {self.what} {words} {timestamp(end)}, asked for {timestamp(at)}"
        return EvidenceRefused(sentence, reason=self.code, step=self.step)


def require_zone(at: datetime) -> None:
    """Raise TimeWithoutZone unless `at` knows its zone."""
    if at.utcoffset() is None:
        raise TimeWithoutZone(f"{at.isoformat()} has no time zone")


def timestamp(moment: datetime) -> str:
    """Return a time as Intel writes it: `2025-05-27T19:31:07Z`."""
    try:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:  # a day at an end of the calendar, which UTC has no date for
        return moment.isoformat()


def parse_timestamp(text: str, *, what: str, error: Callable[[str], StrongroomError]) -> datetime:
    """Return the time that `text` spells in exactly that form; raise `error` for anything else."""
    moment = timestamp_of(text)
    if moment is None:
        raise error(f"{what} is {text[:32]!r}, wanted the form 2025-05-27T19:31:07Z")
    return moment


def timestamp_of(text: str) -> datetime | None:
    """Return the time that `text` spells in exactly that form; None for anything else."""
    try:
        return datetime.fromisoformat(text) if _TIMESTAMP.fullmatch(text) else None
    except ValueError:  # the form, but no such day or hour
        return None
