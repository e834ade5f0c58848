"""Write TOML values, so that the same value is the same bytes everywhere. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def text(value: str) -> str:
    """Return a TOML basic string: JSON's form of it is one, once DEL is escaped as well."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    """Return one part of a key, in quotes where it needs them."""
    return name if _BARE.fullmatch(name) else text(name)


def array(values: Sequence[str]) -> str:
    """Return an array of text, one entry a line."""
    return "[\n" + "".join(f"  {text(value)},\n" for value in values) + "]" if values else "[]"
