"""From when until when each signed part counts, judged at a time that the caller gives.

A check of a signature can be remembered; a check of time cannot. Each step therefore hands its windows on, in the
order of the specification, so that they can be asked again at another time with the same answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from strongroom.attestation.codes import EvidenceCode, EvidenceRefused
from strongroom.errors import BadInput, StrongroomError

_TIMESTAMP: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")


class TimeWithoutZone(BadInput):
    """A time to judge at does not say which zone it is in."""

    code = "SR-TIME-ZONE"
    fix = "Pass a time with its zone, such as datetime.now(UTC)."


@dataclass(frozen=True, slots=True)
class Window:
    """The time span in which one signed part counts; both ends belong to it."""

    what: str
    since: datetime
    until: datetime
    code: EvidenceCode

    def require(self, at: datetime) -> None:
        """Raise the part's own refusal unless `at` lies in the window."""
        if at < self.since:
            raise EvidenceRefused(
                f"the {self.what} counts from {timestamp(self.since)}, asked for {timestamp(at)}", reason=self.code
            )
        if at > self.until:
            raise EvidenceRefused(
                f"the {self.what} counted until {timestamp(self.until)}, asked for {timestamp(at)}", reason=self.code
            )


def require_zone(at: datetime) -> None:
    """Raise TimeWithoutZone unless `at` knows its zone."""
    if at.utcoffset() is None:
        raise TimeWithoutZone(f"{at.isoformat()} has no time zone")


def timestamp(moment: datetime) -> str:
    """Return a time as Intel writes it: `2025-05-27T19:31:07Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str, *, what: str, error: Callable[[str], StrongroomError]) -> datetime:
    """Return the time that `text` spells in exactly that form; raise `error` for anything else."""
    found = _TIMESTAMP.fullmatch(text)
    try:
        if found:
            year, month, day, hour, minute, second = map(int, found.groups())
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        pass
    raise error(f"{what} is {text[:32]!r}, wanted the form 2025-05-27T19:31:07Z")
