"""Schemas as Spark's DDL text, taken apart only as far as columns are to be chosen by name. Pure, without a JVM."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from strongroom.analytics.source.faults import BadSourceOption

MAX_CHARS: Final = 1024 * 1024
_NAME: Final = re.compile(r"\s*(?:`((?:[^`]|``)+)`|([^\s`:,<>()]+))\s*:?\s*(?=\S)")
_OPEN: Final = {"<": 1, "(": 1, ">": -1, ")": -1}
_QUOTES: Final = "`'\""


def columns_of(ddl: str) -> dict[str, str]:
    """Return the columns of `a int, b struct<…>`: name -> definition (name and type). Raises BadSourceOption."""
    if len(ddl) > MAX_CHARS:
        raise BadSourceOption(f"a schema has {MAX_CHARS} characters at most")
    found: dict[str, str] = {}
    for part in _parts(ddl):
        match = _NAME.match(part)
        name = (match[1].replace("``", "`") if match[1] else match[2]) if match else ""
        if not name or name in found:
            raise BadSourceOption("a schema is NAME TYPE, …, each column once")
        found[name] = part.strip()
    return found


def choose(ddl: str, columns: Sequence[str]) -> str:
    """Return the schema of some columns, in the order asked for. Raises BadSourceOption."""
    found = columns_of(ddl)
    missing = [name for name in columns if name not in found]
    if missing:
        raise BadSourceOption(f"the data has no column {missing[0][:60]!r}")
    return ", ".join(found[name] for name in columns)


def quoted(name: str) -> str:
    """Return a column's name as DDL wants it."""
    return "`" + name.replace("`", "``") + "`"


def _parts(ddl: str) -> list[str]:
    parts, start, depth, quote = [], 0, 0, ""
    for at, char in enumerate(ddl):
        if quote:
            quote = "" if char == quote else quote
        elif char in _QUOTES:
            quote = char
        elif char == "," and not depth:
            parts.append(ddl[start:at])
            start = at + 1
        else:
            depth += _OPEN.get(char, 0)
    if depth or quote:
        raise BadSourceOption("a schema's brackets and quotes are closed")
    return [*parts, ddl[start:]]
