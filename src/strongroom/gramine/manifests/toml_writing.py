"""Write TOML values, so that the same value is the same bytes everywhere. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence


def text(value: str) -> str:
    """Return a TOML basic string: JSON's form of it is one, once no lone surrogate and no DEL is left bare."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def array(values: Sequence[str]) -> str:
    """Return an array of text, one entry a line."""
    return "[\n" + "".join(f"  {text(value)},\n" for value in values) + "]" if values else "[]"
