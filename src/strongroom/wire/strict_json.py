"""JSON as a verifier needs it: no duplicate keys, no NaN, nothing after the value, bounded size and depth (EV-08)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NoReturn

from strongroom.errors import StrongroomError
from strongroom.wire.reader import Malformed

MAX_JSON_BYTES: Final = 1024 * 1024
MAX_JSON_DEPTH: Final = 32
_TWICE: Final = object()


def loads(
    text: str | bytes,
    *,
    what: str = "JSON",
    error: Callable[[str], StrongroomError] = Malformed,
    max_bytes: int = MAX_JSON_BYTES,
    max_depth: int = MAX_JSON_DEPTH,
) -> Any:  # noqa: ANN401  # the caller checks every type it uses
    """Parse one JSON value; raise `error` for anything a strict reader must not guess about."""
    if len(text) > max_bytes:
        raise error(f"{what} is longer than {max_bytes} bytes")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as problem:
            raise error(f"{what} is not UTF-8: {problem.reason} at byte {problem.start}") from None

    try:
        # Without backslashes, all strings can be counted; that is faster than a call for each object.
        countable = "\\" not in text
        value = (_COUNTED if countable else _WATCHED).decode(text)
        depth, strings = _extent(value, max_depth)
        if countable and depth <= max_depth and 2 * strings != text.count('"'):
            _WATCHED.decode(text)
    except json.JSONDecodeError as problem:
        raise error(f"{what}: {problem.msg} at line {problem.lineno}, column {problem.colno}") from None
    except ValueError as problem:  # from below, or an integer of thousands of digits
        raise error(f"{what}: {problem}") from None
    except RecursionError:
        depth = max_depth + 1
    if depth > max_depth:
        raise error(f"{what} is nested deeper than {max_depth}")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    seen = dict(pairs)
    if len(seen) != len(pairs):
        twice, _ = next(pair for pair in pairs if seen.pop(pair[0], _TWICE) is _TWICE)
        raise ValueError(f"names the key {twice[:64]!r} twice")
    return seen


def _constant(word: str) -> NoReturn:
    raise ValueError(f"holds {word}, which is not JSON")


_COUNTED: Final = json.JSONDecoder(parse_constant=_constant)
_WATCHED: Final = json.JSONDecoder(parse_constant=_constant, object_pairs_hook=_unique)


def _extent(value: object, max_depth: int) -> tuple[int, int]:
    """Return how deep a value is nested, at most one more than `max_depth`, and how many strings it has, with keys.

    A text without backslashes has two quotation marks for each string, and a key that comes twice leaves one string
    less than were there. No call for each value: it would cost more than parsing.
    """
    depth = strings = 0
    level: list[Any] = [[value]]
    while level and depth <= max_depth:
        inner: list[Any] = []
        for container in level:
            values = container
            if type(container) is dict:
                strings += len(container)
                values = container.values()
            for item in values:
                kind = type(item)
                if kind is str:
                    strings += 1
                elif kind is dict or kind is list:
                    inner.append(item)
        level = inner
        depth += 1
    return depth - 1 + bool(level), strings
