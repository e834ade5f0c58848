"""Find the line of each key and array entry in TOML text that is known to be valid. Pure; one pass."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

Path = tuple[str | int, ...]

# Possessive where one character class repeats, and nowhere else: Python before 3.11.5 loses matches of `(?:a|b)*+`.
_TOKENS: Final = re.compile(
    r'''(?P<newline>\n)|(?P<space>[ \t\r]++)|(?P<comment>\#[^\n]*+)
    |(?P<text>"""[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*"{3,5}'''
    r"""|'''[^']*+(?:'(?!'')[^']*+)*'{3,5}|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*"|'[^'\n]*+')
    |(?P<mark>[=.,\[\]{}])|(?P<word>[^\s\#"'=.,\[\]{}]++|.)""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(slots=True)
class _Open:
    """A bracket that is not closed yet: an array with its next index, or an inline table."""

    path: Path
    index: int | None  # None in an inline table
    wants_key: bool


def lines_of(text: str) -> dict[Path, int]:
    """Return the line, from 1, on which each key and each array entry of a document starts."""
    return _Walker().walk(text)


class _Walker:
    """What is known between two tokens: the table, the key being read, the brackets that are open."""

    def __init__(self) -> None:
        self._lines: dict[Path, int] = {}
        self._line = 1
        self._table: Path = ()
        self._arrays: dict[Path, int] = {}  # arrays of tables and their last index
        self._open: list[_Open] = []
        self._key: list[str] | None = []  # None while a value is read
        self._path: Path = ()
        self._header = 0  # brackets of the header that is being read

    def walk(self, text: str) -> dict[Path, int]:
        """Return the lines of the whole document."""
        for token in _TOKENS.finditer(text):
            kind, found = str(token.lastgroup), token[0]
            if kind == "newline":
                self._end_of_line()
            elif kind in {"text", "word"}:
                self._name_or_value(found)
            elif kind == "mark":
                self._mark(found)
            self._line += found.count("\n")
        return self._lines

    def _end_of_line(self) -> None:
        if not self._open:
            self._key, self._header = [], 0

    def _name_or_value(self, found: str) -> None:
        if self._key is not None:
            self._key.append(_unquoted(found))
        elif self._open and self._open[-1].index is not None:
            self._note(self._entry())

    def _mark(self, found: str) -> None:
        if self._key is not None:
            if found == "[" and not self._key and not self._open:
                self._header += 1
            elif found == "]" and self._header:
                self._end_header()
            elif found == "=":
                above = self._open[-1].path if self._open else self._table
                self._path = above + tuple(self._key)
                for size in range(len(above) + 1, len(self._path) + 1):
                    self._note(self._path[:size])
                self._key = None
            elif found == "}":
                self._close()
        elif found in "[{":
            self._push(found)
        elif found in "]}":
            self._close()
        elif found == "," and self._open:
            self._next()

    def _end_header(self) -> None:
        """Take over the table that `[a.b]` or `[[a.b]]` opens; the first closing bracket decides."""
        path: Path = ()
        names = self._key or []
        for place, name in enumerate(names, start=1):
            path += (name,)
            if place == len(names) and self._header == 2:
                self._arrays[path] = self._arrays.get(path, -1) + 1
            self._note(path)
            if path in self._arrays:
                path += (self._arrays[path],)
        self._table, self._header, self._key = path, 0, None
        self._note(path)

    def _entry(self) -> Path:
        last = self._open[-1]
        return last.path if last.index is None else (*last.path, last.index)

    def _push(self, found: str) -> None:
        path = self._path
        if self._open and self._open[-1].index is not None:
            path = self._entry()
            self._note(path)
        self._open.append(_Open(path, 0 if found == "[" else None, found == "{"))
        self._key = [] if found == "{" else None

    def _close(self) -> None:
        if self._open:
            self._open.pop()
        self._key = None

    def _next(self) -> None:
        last = self._open[-1]
        if last.index is None:
            self._key = []
        else:
            last.index += 1

    def _note(self, path: Path) -> None:
        self._lines.setdefault(path, self._line)


def _unquoted(found: str) -> str:
    """Return the name that a key token spells."""
    if found[:1] == "'":
        return found[1:-1]
    if found[:1] != '"':
        return found
    try:
        return str(json.loads(found))
    except ValueError:  # an escape that TOML has and JSON has not
        return found[1:-1]
