"""JSON as a verifier needs it: no duplicate keys, no NaN, nothing after the value, bounded size and depth (EV-08)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

from strongroom.errors import StrongroomError
from strongroom.wire.reader import Malformed

MAX_JSON_BYTES: Final = 1024 * 1024
MAX_JSON_DEPTH: Final = 32
_TWICE: Final = object()
# A string that never ends is taken whole: tried again at each of its quotes, it would cost quadratic time.
_STRING_OR_BRACKET: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


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
    if _depth(text) > max_depth:
        raise error(f"{what} is nested deeper than {max_depth}")

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        seen = dict(pairs)
        if len(seen) != len(pairs):
            twice, _ = next(pair for pair in pairs if seen.pop(pair[0], _TWICE) is _TWICE)
            raise error(f"{what} names the key {twice[:64]!r} twice")
        return seen

    def constant(word: str) -> NoReturn:
        raise error(f"{what} holds {word}, which is not JSON")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except json.JSONDecodeError as problem:
        raise error(f"{what}: {problem.msg} at line {problem.lineno}, column {problem.colno}") from None
    except ValueError as problem:  # an integer of thousands of digits
        raise error(f"{what}: {problem}") from None


def _depth(text: str) -> int:
    """Return an upper bound of the nesting depth, without recursion: brackets inside strings do not count."""
    depth = deepest = 0
    for mark in _STRING_OR_BRACKET.findall(text):
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
    return deepest
