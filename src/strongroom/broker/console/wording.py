"""How values read on a page: times, spans, sizes, long hexadecimal numbers, and the tone of a word. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

MAX_SHOWN: Final = 600  # characters of one value from outside; the ledger's line has the rest
_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
DAY_MS: Final = 86_400_000
_LONG_HEX: Final = re.compile(r"\b[0-9a-f]{24,}\b")


class Tone(StrEnum):
    """How a word is coloured and marked; the mark says it too, for who sees no colours."""

    GOOD = "good"
    NOTE = "note"
    WARN = "warn"
    BAD = "bad"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Badge:
    """A word with a tone."""

    text: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as a page shows it: exact for machines and on hover, relative to be read."""

    iso: str
    exact: str  # 2026-11-21 13:04:05 UTC
    relative: str  # 3 minutes ago, in 2 days


def moment(at_ms: int, now_ms: int) -> Moment:
    """Return how a time reads now; both in milliseconds since 1970, UTC."""
    try:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return Moment("", "a time out of range", "out of range")
    iso = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Moment(iso, f"{at:%Y-%m-%d %H:%M:%S} UTC", relative(at_ms, now_ms))


def relative(at_ms: int, now_ms: int) -> str:
    """Return the distance between two times in one unit."""
    if abs(now_ms - at_ms) < 1000:
        return "just now"
    length = span(abs(now_ms - at_ms))
    return f"{length} ago" if at_ms < now_ms else f"in {length}"


def span(length_ms: int) -> str:
    """Return a length of time in its largest unit, cut off."""
    seconds = length_ms // 1000
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "second"))
    return count(seconds // size, unit)


def milliseconds(text: object) -> int:
    """Return the time that a ledger line gives as ISO 8601 text; 0 if it is none."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return 0
    return 0 if at.tzinfo is None else int(at.timestamp() * 1000)


def count(number: int, thing: str) -> str:
    """Return a number with its noun: 1 line, 1,204 lines."""
    return f"{number:,} {thing}" + ("" if number == 1 else "es" if thing.endswith("s") else "s")


def short(value: str, *, keep: int = 8) -> str:
    """Return the two ends of a long hexadecimal number, and any other text as it is."""
    is_long = len(value) > 2 * keep + 3 and not set(value.lower()) - set("0123456789abcdef")
    return f"{value[:keep]}…{value[-4:]}" if is_long else value


def parts(text: str) -> tuple[tuple[str, str], ...]:
    """Return a sentence in pieces: text with an empty second part, and long hexadecimal numbers cut, with the whole."""
    found: list[tuple[str, str]] = []
    end = 0
    for match in _LONG_HEX.finditer(text):
        found += [(text[end : match.start()], ""), (short(match[0]), match[0])]
        end = match.end()
    found.append((text[end:], ""))
    return tuple(each for each in found if each[0])


def plain(value: object) -> str:
    """Return a value of a ledger line as text of bounded length; what is absent is a dash."""
    if value is None or value in ("", [], ()):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(str(each) for each in value) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
