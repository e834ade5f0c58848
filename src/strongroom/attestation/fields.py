"""Take typed fields out of signed JSON: a wrong type, a missing key, a wrong length is a refusal, never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple, cast

from strongroom.attestation.validity import parse_timestamp, timestamp_of
from strongroom.errors import StrongroomError
from strongroom.wire import strict_json

_HEX: Final = re.compile(r"[0-9A-Fa-f]*")
MAX_TEXT_LENGTH: Final = 256


class Fields(NamedTuple):
    """One JSON object and the words to complain with."""

    value: dict[str, object]
    what: str
    error: Callable[[str], StrongroomError]

    @classmethod
    def parse(cls, text: bytes, *, what: str, error: Callable[[str], StrongroomError]) -> Fields:
        """Return the object that `text` consists of."""
        return cls.of(strict_json.loads(text, what=what, error=error), what=what, error=error)

    @classmethod
    def of(cls, value: object, *, what: str, error: Callable[[str], StrongroomError]) -> Fields:
        """Return `value` as an object."""
        if not isinstance(value, dict):
            raise error(f"{what} is not a JSON object")
        return cls(value, what, error)

    def has(self, name: str) -> bool:
        """Whether the object has this key."""
        return name in self.value

    def get(self, name: str) -> object:
        """Return a value of any type."""
        if name not in self.value:
            raise self.error(f"{self.what} lacks {name}")
        return self.value[name]

    def integer(self, name: str) -> int:
        """Return a whole number of either sign and any size."""
        value = self.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(f"{self.what}: {name} is not a whole number")
        return value

    def number(self, name: str, *, limit: int) -> int:
        """Return a whole number from 0 to `limit`."""
        value = self.value.get(name)
        if type(value) is int and 0 <= value <= limit:  # a bool is an int, and no number
            return value
        self.get(name)
        raise self.error(f"{self.what}: {name} is not a whole number from 0 to {limit}")

    def text(self, name: str) -> str:
        """Return a string of reasonable length."""
        value = self.value.get(name)
        if type(value) is str and len(value) <= MAX_TEXT_LENGTH:
            return value
        self.get(name)
        raise self._no_text(name)

    def hex(self, name: str, size: int) -> bytes:
        """Return `size` bytes spelled in hex."""
        text = self.text(name)
        if len(text) != 2 * size or not _HEX.fullmatch(text):
            raise self.error(f"{self.what}: {name} is not {2 * size} hex digits")
        return bytes.fromhex(text)

    def date(self, name: str) -> datetime:
        """Return a time."""
        text = self.text(name)
        return timestamp_of(text) or parse_timestamp(text, what=f"{self.what}: {name}", error=self.error)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings that can be shown, printable ASCII; an absent list is empty."""
        if not self.has(name):
            return ()
        texts = self.items(name)
        if not texts:
            return ()
        found = tuple(cast("list[str]", texts))
        try:
            joined = "".join(found)  # one question for all: a table has hundreds
        except TypeError:  # something that is no string
            raise self._no_text(name) from None
        if len(joined) > MAX_TEXT_LENGTH and max(map(len, found)) > MAX_TEXT_LENGTH:
            raise self._no_text(name)
        if not (joined.isascii() and joined.isprintable()):
            raise self.error(f"{self.what}: {name} is {joined[:64]!a}, wanted printable ASCII")
        return found

    def nested(self, name: str) -> Fields:
        """Return an object inside this one."""
        return Fields.of(self.get(name), what=f"{self.what}: {name}", error=self.error)

    def objects(self, name: str) -> tuple[Fields, ...]:
        """Return a list of objects."""
        what, error = f"{self.what}: {name}", self.error
        return tuple([Fields.of(item, what=what, error=error) for item in self.items(name)])

    def items(self, name: str) -> list[object]:
        """Return a list."""
        value = self.get(name)
        if not isinstance(value, list):
            raise self.error(f"{self.what}: {name} is not a list")
        return value

    def _no_text(self, name: str) -> StrongroomError:
        return self.error(f"{self.what}: {name} is not a string of at most {MAX_TEXT_LENGTH} characters")
