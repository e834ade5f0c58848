"""How each kind of value is spelled in policy.toml: read strictly, and written so that it reads back the same.

Pure. `read` raises Unfit with what is wrong in words that follow the word's name, such as "takes true or false".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol, TypeAlias

from strongroom.attestation import EnrolledPlatform
from strongroom.broker.names import FORMS, Pattern
from strongroom.workspace.secret_store import BadSecretName

MAX_LIST: Final = 256
MAX_PLATFORMS: Final = 5000
MAX_PATTERNS: Final = 64
_HEX: Final = re.compile(r"[0-9a-fA-F]*", re.ASCII)
_ADVISORY: Final = re.compile(r"[A-Z]+(-[A-Z0-9]+){1,4}", re.ASCII)
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_SERIAL: Final = re.compile(r"[0-9a-fA-F]{1,40}", re.ASCII)
_ENTRY: Final = frozenset({"id", "until"})

Value: TypeAlias = Any  # what a word holds; its kind knows the type


class Unfit(ValueError):
    """A value is not of its word's kind; the message follows the word's name."""


class Kind(Protocol):
    """A kind of value."""

    @property
    def takes(self) -> str:
        """What the word takes, for people."""

    def read(self, raw: object) -> Value:
        """Return the value that a TOML value means; raise Unfit."""

    def write(self, value: Value) -> str:
        """Return TOML that reads back as `value`."""


@dataclass(frozen=True, slots=True)
class Switch:
    """true or false."""

    takes: str = "true or false"

    def read(self, raw: object) -> bool:
        """Return the boolean."""
        if not isinstance(raw, bool):
            raise Unfit(f"is {show(raw)}; it takes {self.takes}")
        return raw

    def write(self, value: bool) -> str:
        """Return true or false."""
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number from `lowest` to `highest`."""

    highest: int
    lowest: int = 0

    @property
    def takes(self) -> str:
        """What the word takes."""
        return f"a number from {self.lowest} to {self.highest}"

    def read(self, raw: object) -> int:
        """Return the number."""
        if not isinstance(raw, int) or isinstance(raw, bool):
            raise Unfit(f"is {show(raw)}; it takes a whole number")
        if not self.lowest <= raw <= self.highest:
            raise Unfit(f"is {show(raw)}; it takes {self.takes}")
        return raw

    def write(self, value: int) -> str:
        """Return its digits."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time in whole units of `unit`, at most `highest` of them."""

    unit: timedelta
    highest: int

    @property
    def takes(self) -> str:
        """What the word takes."""
        return f"a number of {'days' if self.unit.days else 'seconds'} from 0 to {self.highest}"

    def read(self, raw: object) -> timedelta:
        """Return the span."""
        return Number(self.highest).read(raw) * self.unit

    def write(self, value: timedelta) -> str:
        """Return the number of units."""
        return str(value // self.unit)


@dataclass(frozen=True, slots=True)
class Moment:
    """A day (its beginning in UTC), or a time with its zone."""

    takes: str = "a day as 2026-01-31, or a time with its zone as 2026-01-31T12:00:00Z"

    def read(self, raw: object) -> datetime:
        """Return the time in UTC."""
        if isinstance(raw, datetime):
            if raw.utcoffset() is None:
                raise Unfit(f"is {show(str(raw))}, which has no time zone; it takes {self.takes}")
            try:
                return raw.astimezone(UTC)
            except OverflowError:
                raise Unfit(f"is {show(str(raw))}; it takes {self.takes}") from None
        if isinstance(raw, date):
            return datetime.combine(raw, time(), UTC)
        raise Unfit(f"is {show(raw)}; it takes {self.takes}")

    def write(self, value: datetime) -> str:
        """Return the day, or the time in UTC."""
        at = value.astimezone(UTC)
        return at.date().isoformat() if at.time() == time() else at.replace(tzinfo=None).isoformat() + "Z"


@dataclass(frozen=True, slots=True)
class Hex:
    """Exactly `size` bytes in hex; `measured` ones are not all zero."""

    size: int
    measured: bool = False

    @property
    def takes(self) -> str:
        """What the word takes."""
        return f"{2 * self.size} hex digits"

    def read(self, raw: object) -> bytes:
        """Return the bytes."""
        if not isinstance(raw, str):
            raise Unfit(f"is {show(raw)}; it takes a text")
        if len(raw) != 2 * self.size or not _HEX.fullmatch(raw):
            raise Unfit(f"is {show(raw)}; it takes exactly {2 * self.size} hex digits, and no wildcard")
        value = bytes.fromhex(raw)
        if self.measured and not any(value):
            raise Unfit("is all zero, which is no build's measurement")
        return value

    def write(self, value: bytes) -> str:
        """Return the hex digits in quotes."""
        return f'"{value.hex()}"'


@dataclass(frozen=True, slots=True)
class Chosen:
    """A list of words of one enumeration; empty lists are refused."""

    words: type[StrEnum]
    meant: tuple[StrEnum, ...] = ()  # where only some of the words may stand

    @property
    def takes(self) -> str:
        """What the word takes."""
        return f"a list of {', '.join(each.value for each in self._known())}"

    def _known(self) -> Sequence[StrEnum]:
        return self.meant or tuple(self.words)

    def read(self, raw: object) -> frozenset[StrEnum]:
        """Return the members."""
        known = {member.value: member for member in self._known()}
        texts = read_texts(raw)
        for text in texts:
            if text not in known:
                raise Unfit(f"holds {show(text)}; it takes {', '.join(known)}")
        if not texts:
            raise Unfit("is empty, so nothing could fulfil it")
        return frozenset(known[text] for text in texts)

    def write(self, value: frozenset[StrEnum]) -> str:
        """Return the list, sorted."""
        return write_texts(sorted(each.value for each in value))


@dataclass(frozen=True, slots=True)
class OneOf:
    """One word of an enumeration."""

    words: type[StrEnum]

    @property
    def takes(self) -> str:
        """What the word takes."""
        return f"{' or '.join(each.value for each in self.words)}"

    def read(self, raw: object) -> StrEnum:
        """Return the member."""
        known = {member.value: member for member in self.words}
        if not isinstance(raw, str) or raw not in known:
            raise Unfit(f"is {show(raw)}; it takes {self.takes}")
        return known[raw]

    def write(self, value: StrEnum) -> str:
        """Return the word in quotes."""
        return f'"{value.value}"'


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of texts of one form; `what` names the form in errors, `upper` folds them to upper case."""

    form: re.Pattern[str]
    takes: str
    wrong: str  # "is no …"
    upper: bool = False

    def read(self, raw: object) -> frozenset[str]:
        """Return the texts."""
        texts = read_texts(raw)
        for text in texts:
            if not self.form.fullmatch(text):
                raise Unfit(f"holds {show(text)}, which is {self.wrong}")
        return frozenset(text.upper() if self.upper else text for text in texts)

    def write(self, value: frozenset[str]) -> str:
        """Return the list, sorted."""
        return write_texts(sorted(value))


@dataclass(frozen=True, slots=True)
class Numbers:
    """A list of small whole numbers."""

    takes: str = "a list of numbers"

    def read(self, raw: object) -> frozenset[int]:
        """Return the numbers."""
        if not isinstance(raw, list) or len(raw) > MAX_LIST or not all(type(each) is int for each in raw):
            raise Unfit(f"is {show(raw)}; it takes a list of whole numbers")
        if len(set(raw)) != len(raw):
            raise Unfit("names something twice")
        return frozenset(raw)

    def write(self, value: frozenset[int]) -> str:
        """Return the list, sorted."""
        return "[" + ", ".join(map(str, sorted(value))) + "]"


@dataclass(frozen=True, slots=True)
class Ids:
    """A list of things known by `size` bytes each; `name` is what they are called."""

    size: int
    name: str

    @property
    def takes(self) -> str:
        """What the word takes."""
        return f"a list of {self.name}s of {2 * self.size} hex digits"

    def read(self, raw: object) -> frozenset[bytes]:
        """Return the ids."""
        return frozenset(_id_of(text, self.size) for text in read_texts(raw, most=MAX_PLATFORMS))

    def write(self, value: frozenset[bytes]) -> str:
        """Return the list, sorted."""
        return write_texts(sorted(each.hex() for each in value))


@dataclass(frozen=True, slots=True)
class Serials:
    """A list of serial numbers of certificates."""

    takes: str = "a list of serial numbers of at most 40 hex digits"

    def read(self, raw: object) -> frozenset[int]:
        """Return the numbers."""
        texts = read_texts(raw, most=MAX_PLATFORMS)
        for text in texts:
            if not _SERIAL.fullmatch(text):
                raise Unfit(f"holds {show(text)}; it takes serial numbers of at most 40 hex digits, without colons")
        return frozenset(int(text, 16) for text in texts)

    def write(self, value: frozenset[int]) -> str:
        """Return the list, sorted."""
        return write_texts(sorted(f"{each:x}" for each in value))


@dataclass(frozen=True, slots=True)
class Platforms:
    """A list of enrolled platforms, each with the moment until which it counts."""

    takes: str = 'a list of {id = "32 hex digits", until = 2027-01-31}'

    def read(self, raw: object) -> tuple[EnrolledPlatform, ...]:
        """Return the entries in their order."""
        if not isinstance(raw, list) or len(raw) > MAX_PLATFORMS:
            raise Unfit(f"takes a list of at most {MAX_PLATFORMS} platforms")
        return tuple(self._entry(each) for each in raw)

    def _entry(self, raw: object) -> EnrolledPlatform:
        if not isinstance(raw, dict) or set(raw) != _ENTRY:
            raise Unfit(f"holds {show(raw)}; each platform has exactly id and until")
        try:
            until = Moment().read(raw["until"])
        except Unfit as problem:
            raise Unfit(f"has an until that {problem}") from None
        return EnrolledPlatform(id=_id_of(raw["id"], 16), until=until)

    def write(self, value: tuple[EnrolledPlatform, ...]) -> str:
        """Return the list of inline tables."""
        entries = (f'{{id = "{each.id.hex()}", until = {Moment().write(each.until)}}}' for each in value)
        return "[" + ", ".join(entries) + "]"


@dataclass(frozen=True, slots=True)
class Releases:
    """What a rule releases: one text, or a list of them."""

    takes: str = f"{FORMS}, a range of versions as model/NAME/2-5 or model/NAME/2-, or a list of these"

    def read(self, raw: object) -> tuple[Pattern, ...]:
        """Return the patterns in their order, at least one and none twice."""
        texts = [raw] if isinstance(raw, str) else read_texts(raw, most=MAX_PATTERNS)
        if not texts:
            raise Unfit("is empty, so the rule would release nothing")
        found = tuple(map(self._pattern, texts))
        if len(set(found)) != len(found):
            raise Unfit("names something twice")
        return found

    def _pattern(self, text: str) -> Pattern:
        try:
            return Pattern.parse(text)
        except BadSecretName:
            raise Unfit(f"is {show(text)}; it takes {self.takes}") from None

    def write(self, value: tuple[Pattern, ...]) -> str:
        """Return the one text, or the list."""
        return f'"{value[0]}"' if len(value) == 1 else write_texts([str(each) for each in value])


def _id_of(raw: object, size: int) -> bytes:
    try:
        return Hex(size).read(raw)
    except Unfit as problem:
        raise Unfit(f"has an id that {problem}") from None


def read_texts(raw: object, *, most: int = MAX_LIST) -> list[str]:
    """Return a list of different texts; raise Unfit."""
    if not isinstance(raw, list):
        raise Unfit(f"is {show(raw)}; it takes a list of texts")
    if len(raw) > most or not all(isinstance(each, str) for each in raw):
        raise Unfit(f"takes at most {most} texts")
    if len(set(raw)) != len(raw):
        raise Unfit("names something twice")
    return raw


def write_texts(texts: Sequence[str]) -> str:
    """Return texts without quotes and backslashes as a TOML list."""
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"


def show(value: object) -> str:
    """Return a value as an error may show it: one line, printable, short."""
    return ascii(value)[:100]


ADVISORIES: Final = Texts(_ADVISORY, "a list of advisories", "no advisory such as INTEL-SA-00615")
FMSPCS: Final = Texts(
    re.compile(r"[0-9a-fA-F]{12}", re.ASCII), "a list of platform families of 12 hex digits",
    "no FMSPC of 12 hex digits", upper=True,
)  # fmt: skip
PROVIDERS: Final = Texts(_PLAIN, "a list of provider ids", "no provider id")
RULE_WORDS: Final = Texts(re.compile(r"[a-z0-9_]{1,64}", re.ASCII), "a list of words of this page", "no word")
