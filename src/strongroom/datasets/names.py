"""Names of primary keys and of their versions, and how data may be protected. Pure.

A key id, `people.3`, is version 3 of the primary key `people`. It is what files hold, so that a key can be rotated
while older files stay readable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from strongroom.errors import BadInput

MAX_KEY_ID_CHARS: Final = 64
MAX_KEY_VERSION: Final = 999_999
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}", re.ASCII)
_VERSION: Final = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


class BadKeyName(BadInput):
    """A name is none of a primary key, or a key id is not NAME.VERSION."""

    code = "SR-DATA-KEY-NAME"
    fix = "Use letters, digits, - and _ (50 at most); an id is the name, a dot and the version, such as people.1."


class BadCryptoMode(BadInput):
    """A way to protect data is not known, or does not fit the kind of file."""

    code = "SR-DATA-MODE"
    fix = "Use sealed, AES_GCM_V1 or AES_GCM_CTR_V1 (Parquet), or plain_text."


class CryptoMode(StrEnum):
    """How data is protected; the words are those of BigDL's PPMLContext, `sealed` is ours."""

    PLAIN_TEXT = "plain_text"
    AES_CBC_PKCS5PADDING = "AES/CBC/PKCS5Padding"
    AES_GCM_V1 = "AES_GCM_V1"
    AES_GCM_CTR_V1 = "AES_GCM_CTR_V1"
    SEALED = "sealed"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a mode, in any case. Raises BadCryptoMode."""
        for mode in cls:
            if text.lower() == mode.lower():
                return mode
        raise BadCryptoMode(f"{text[:40]!r} is no way to protect data")


def check_key_name(name: str) -> str:
    """Return a primary key's name. Raises BadKeyName."""
    if not _NAME.fullmatch(name):
        raise BadKeyName(f"{name[:80]!r} is no name of a primary key")
    return name


@dataclass(frozen=True, slots=True, order=True)
class KeyId:
    """One version of a primary key."""

    name: str
    version: int

    def __post_init__(self) -> None:
        """Hold the grammar however an id was made. Raises BadKeyName."""
        check_key_name(self.name)
        if not 1 <= self.version <= MAX_KEY_VERSION:
            raise BadKeyName(f"version {self.version} of a primary key is not between 1 and {MAX_KEY_VERSION}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read NAME.VERSION. Raises BadKeyName."""
        name, dot, version = text[: MAX_KEY_ID_CHARS + 1].rpartition(".")
        if not dot or len(text) > MAX_KEY_ID_CHARS or not _VERSION.fullmatch(version):
            raise BadKeyName(f"{text[:80]!r} is no key id")
        return cls(name, int(version))

    def __str__(self) -> str:
        return f"{self.name}.{self.version}"
