"""Read TOML that somebody else wrote: bounded in size, in nesting and in the length of dotted keys. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import Any, Final

from strongroom.errors import StrongroomError

MAX_KEY_PARTS: Final = 32
# tomllib walks every prefix of a dotted key, which takes quadratic time for keys of 100,000 parts.
_LONG_KEY: Final = re.compile(
    rf"""(?<![A-Za-z0-9_-])(?>(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_KEY_PARTS}}}""", re.ASCII
)


def loads(text: str, *, max_bytes: int, error: Callable[[str], StrongroomError]) -> dict[str, Any]:
    """Return the document in `text`; raise `error` for what is too long, not Unicode or not TOML."""
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as problem:
        raise error(f"the manifest is not Unicode text at character {problem.start}") from None
    if size > max_bytes:
        raise error(f"the manifest has {size} bytes; {max_bytes} are allowed")
    if _LONG_KEY.search(text):
        raise error(f"the manifest has a key of more than {MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise error("the manifest is nested too deeply") from None
    except ValueError as problem:  # TOMLDecodeError, and numbers of thousands of digits
        raise error(f"the manifest is not TOML: {problem}") from None
