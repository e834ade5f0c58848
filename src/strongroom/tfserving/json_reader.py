"""JSON as RapidJSON reads it, for what Python's scanner refuses: texts and offsets of errors, nesting without end.

Slow and exact: a loop with a stack of its own, no recursion, linear in time and memory. `json_values` comes here only
for bodies that are not too large. Source: spec `model-server.md` section 4.1; RapidJSON's iterative parser.
"""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # there since 2.6, in C; typeshed leaves it out
from typing import Final, NoReturn, TypeAlias

from strongroom.errors import BadInput

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]*)?(?P<exponent>[eE][+-]?[0-9]*)?")
_SPECIAL: Final = re.compile(r"-?(?:NaN|Inf(?:inity)?)")
_ESCAPE: Final = re.compile(r"\\(?:u(?P<unit>[0-9a-fA-F]{4})|.)", re.DOTALL)
_WORDS: Final = {"n": ("null", None), "t": ("true", True), "f": ("false", False)}
_LONG_DIGITS: Final = 20  # an integer of more is beyond every type: a double, as RapidJSON has it

INVALID_VALUE: Final = "Invalid value."
MISS_NAME: Final = "Missing a name for object member."
MISS_COLON: Final = "Missing a colon after a name of object member."
MISS_IN_OBJECT: Final = "Missing a comma or } after an object member."
MISS_IN_ARRAY: Final = "Missing a comma or ] after an array element."
EMPTY: Final = "The document is empty."
HALF_A_PAIR: Final = "The surrogate pair in string is invalid."
_STRING_ERRORS: Final = (
    ("Unterminated", "Missing a closing quotation mark in string."),
    ("Invalid control", "Invalid encoding in string."),
    ("Invalid \\escape", "Invalid escape character in string."),
    ("Invalid \\u", "Incorrect hex digit after \\u escape in string."),
)  # Python's words, RapidJSON's


class BadJson(BadInput):
    """A REST body is not the JSON that the interface wants; the sentence is TensorFlow Serving's."""

    code = "SR-REST-JSON"
    fix = 'Send {"instances": [...]} or {"inputs": ...} with the names, types and shapes of the model\'s metadata.'


def read(text: str) -> Json:
    """Return the first JSON value of `text`; what follows it is ignored. Raises BadJson.

    Where an object has a name twice, the first member counts: that is the one that RapidJSON finds.
    """
    return _Reader(text).document()


class _Reader:
    """The loop: `_open` holds the containers that are not closed yet, with the key that a value will go under."""

    def __init__(self, text: str) -> None:
        end = text.find("\0")
        self._text = text if end < 0 else text[:end]  # RapidJSON takes a zero byte for the end
        self._at = 0
        self._open: list[tuple[list[Json] | dict[str, Json], str]] = []

    def document(self) -> Json:
        """Read one value."""
        self._skip()
        if self._at == len(self._text):
            self._fail(EMPTY)
        while True:
            value = self._begin()
            if value is _OPENED:
                continue
            done, value = self._place(value)
            if done:
                return value

    def _begin(self) -> Json | object:
        """Read a scalar or an empty container, or open a container and stop where its first value begins."""
        character = self._text[self._at : self._at + 1]
        if character == "[":
            return self._descend([], "]")
        if character == "{":
            return self._descend({}, "}")
        if character == '"':
            return self._string()
        if character in _WORDS:
            return self._word(*_WORDS[character])
        return self._number()

    def _descend(self, made: list[Json] | dict[str, Json], closing: str) -> Json | object:
        self._at += 1
        self._skip()
        if self._text.startswith(closing, self._at):
            self._at += 1
            return made
        self._open.append((made, self._key() if isinstance(made, dict) else ""))
        return _OPENED

    def _place(self, value: Json | object) -> tuple[bool, Json]:
        """Put a value where it belongs, and close what ends after it; return whether the whole was read."""
        while self._open:
            holder, key = self._open[-1]
            if isinstance(holder, dict):
                holder.setdefault(key, value)  # type: ignore[arg-type]  # never the marker
            else:
                holder.append(value)  # type: ignore[arg-type]  # never the marker
            self._skip()
            following = self._text[self._at : self._at + 1]
            if following == ",":
                self._at += 1
                self._skip()
                if isinstance(holder, dict):
                    self._open[-1] = holder, self._key()
                return False, None
            if following != ("}" if isinstance(holder, dict) else "]"):
                self._fail(MISS_IN_OBJECT if isinstance(holder, dict) else MISS_IN_ARRAY)
            self._at += 1
            value = self._open.pop()[0]
        return True, value  # type: ignore[return-value]  # never the marker

    def _key(self) -> str:
        if not self._text.startswith('"', self._at):
            self._fail(MISS_NAME)
        key = self._string()
        self._skip()
        if not self._text.startswith(":", self._at):
            self._fail(MISS_COLON)
        self._at += 1
        self._skip()
        return key

    def _string(self) -> str:
        begin = self._at + 1
        try:
            value, self._at = scanstring(self._text, begin, True)
        except json.JSONDecodeError as problem:
            self._at = problem.pos
            if problem.msg.startswith("Unterminated"):
                self._at = len(self._text)
            elif problem.msg.startswith("Invalid \\"):
                self._at = self._text.rindex("\\", 0, problem.pos + 1)
            self._fail(next((said for word, said in _STRING_ERRORS if problem.msg.startswith(word)), INVALID_VALUE))
        half = _half_a_pair(self._text[begin : self._at - 1])
        if half is not None:
            self._at = begin + half
            self._fail(HALF_A_PAIR)
        return str(value)

    def _word(self, word: str, value: Json) -> Json:
        for letter in word:
            if not self._text.startswith(letter, self._at):
                self._fail(INVALID_VALUE)
            self._at += 1
        return value

    def _number(self) -> float:
        special = _SPECIAL.match(self._text, self._at)
        if special is not None:
            self._at = special.end()
            if special[0].endswith("Inf") and self._text.startswith("i", self._at):
                self._fail(INVALID_VALUE)
            return float(special[0])
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            self._at += self._text.startswith("-", self._at)
            self._fail(INVALID_VALUE)
        self._at = match.end()
        if match["fraction"] == ".":
            self._at = match.end("fraction")
            self._fail("Miss fraction part in number.")
        if match["exponent"] is not None and not match["exponent"][-1].isdigit():
            self._fail("Miss exponent in number.")
        whole = match["fraction"] is None and match["exponent"] is None
        return any_int(match[0]) if whole else float(match[0])

    def _skip(self) -> None:
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank is not None else self._at

    def _fail(self, what: str) -> NoReturn:
        raise parse_error(what, self._text, self._at)


_OPENED: Final = object()  # a container was opened; its first value comes next


def _half_a_pair(spelt: str) -> int | None:
    """Return where a string's source has an escape that is half a surrogate pair."""
    high: re.Match[str] | None = None
    for escape in _ESCAPE.finditer(spelt) if "\\u" in spelt else ():
        unit = int(escape["unit"] or "0", 16)
        is_low = 0xDC00 <= unit <= 0xDFFF
        if high is not None:
            if not is_low or escape.start() != high.end():
                return high.start()
            high = None
        elif is_low:
            return escape.start()
        elif 0xD800 <= unit <= 0xDBFF:
            high = escape
    return None if high is None else high.start()


def any_int(digits: str) -> int | float:
    """Return an integer, as a double where it is longer than any integer type."""
    return int(digits) if len(digits) <= _LONG_DIGITS else float(digits)


def parse_error(what: str, text: str, at: int) -> BadJson:
    """Return the refusal of a body that is not JSON, with the offset in bytes."""
    return BadJson(f"JSON Parse error: {what} at offset: {len(text[:at].encode('utf-8', 'surrogatepass'))}")


MEANINGS: Final[tuple[tuple[str, str], ...]] = (
    *_STRING_ERRORS,
    ("Expecting property name", MISS_NAME),
    ("Expecting ':'", MISS_COLON),
)


def rapidjson_words(message: str) -> str:
    """Return RapidJSON's words for an error of Python's scanner, as near as they can be told without reading again."""
    return next((said for word, said in MEANINGS if message.startswith(word)), INVALID_VALUE)
