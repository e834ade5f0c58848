"""Lines of JSON objects as a report reads them: bounded, one at a time, and what is no such line is counted. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from strongroom.errors import BadInput
from strongroom.wire import strict_json
from strongroom.wire.reader import Malformed

MAX_LINES: Final = 5_000_000
MAX_BYTES: Final = 8 * 1024**3  # of one file, expanded
MAX_TEXT: Final = 300
MAX_DEPTH: Final = 64
_LARGEST: Final = 2**63 - 1
Line = dict[str, Any]


class BadReportInput(BadInput):
    """What a job left behind is no set of events: too many lines, or nothing in it that a report could tell."""

    code = "SR-REPORT-INPUT"
    fix = "Name the folder that spark submit wrote its report and events to."


class Bounded:
    """The lines of a file, none longer than `max_bytes`: of a longer one there is nothing but that it was there."""

    def __init__(self, source: BinaryIO, *, max_bytes: int) -> None:
        self._source: Final = source
        self._max_bytes: Final = max_bytes

    def __iter__(self) -> Iterator[bytes | None]:
        """Yield lines, None for one that is too long. Raises BadReportInput for more than any job writes."""
        lines = total = 0
        while line := self._source.readline(self._max_bytes + 1):
            lines, total, whole = lines + 1, total + len(line), len(line) <= self._max_bytes
            while not whole and not line.endswith(b"\n"):
                line = self._source.readline(self._max_bytes)
                total += len(line)
                if not line or total > MAX_BYTES:
                    break
            if lines > MAX_LINES or total > MAX_BYTES:
                raise BadReportInput(f"one file has more than {MAX_LINES} lines or {MAX_BYTES} bytes")
            yield line if whole else None


class Lines:
    """The objects of a file, in order; `unreadable` counts lines that are none, are cut off, or are too long."""

    def __init__(self, source: BinaryIO, *, max_bytes: int) -> None:
        self._lines: Final = Bounded(source, max_bytes=max_bytes)
        self._max_bytes: Final = max_bytes
        self.unreadable = 0

    def __iter__(self) -> Iterator[Line]:
        """Yield the objects. Raises BadReportInput for more lines than any job writes."""
        for line in self._lines:
            found = None if line is None else self._parsed(line)
            if found is None:
                self.unreadable += 1
            else:
                yield found

    def _parsed(self, line: bytes) -> Line | None:
        try:
            found = strict_json.loads(line, max_bytes=self._max_bytes, max_depth=MAX_DEPTH)
        except Malformed:
            return None
        return found if isinstance(found, dict) else None


def text(line: Line, name: str, most: int = MAX_TEXT) -> str:
    """Return a field that is a text, cut, with what a terminal would obey escaped; else nothing."""
    found = line.get(name)
    return plain(found, most) if isinstance(found, str) else ""


def plain(words: str, most: int = MAX_TEXT) -> str:
    """Return a text that only shows: no control characters, no line breaks, no changes of direction."""
    cut = words if len(words) <= most else f"{words[: most - 1]}…"
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in cut)


def number(line: Line, name: str) -> int:
    """Return a field that is a whole number of up to 63 bits, else 0."""
    found = line.get(name)
    return found if type(found) is int and 0 <= found <= _LARGEST else 0


def seconds(line: Line, name: str) -> float:
    """Return a field that is a duration, else 0."""
    found = line.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return 0.0
    return float(found) if 0 <= found < 1e12 else 0.0


def texts(line: Line, name: str, most: int = 64) -> tuple[str, ...]:
    """Return a field that is a list of texts, the first ones of it."""
    found = line.get(name)
    return tuple(plain(each) for each in found[:most] if isinstance(each, str)) if isinstance(found, list) else ()


def inner(line: Line, name: str) -> Line:
    """Return a field that is an object, else an empty one."""
    found = line.get(name)
    return found if isinstance(found, dict) else {}


def rows(line: Line, name: str, most: int = 100_000) -> list[Line]:
    """Return a field that is a list of objects, the first ones of it."""
    found = line.get(name)
    return [each for each in found[:most] if isinstance(each, dict)] if isinstance(found, list) else []
