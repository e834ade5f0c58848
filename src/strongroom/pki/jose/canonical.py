"""One spelling for one JSON value, to be hashed: RFC 8785 (JCS), for values without fractions. Pure."""

from __future__ import annotations

import json
from typing import Final

from strongroom.errors import BadInput

MAX_SAFE_INTEGER: Final = 2**53 - 1  # RFC 8785 section 3.2.2.3: beyond, a reader in JavaScript sees another number
_PLAIN: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class NotCanonical(BadInput):
    """A JSON value has no canonical form: a fraction, a number beyond 2^53, half a surrogate pair, another type."""

    code = "SR-JSON-CANONICAL"
    fix = "Use texts, whole numbers below 2^53, true, false, null, lists and objects."


def canonical(value: object) -> bytes:
    """Return the canonical UTF-8 of a JSON value: members sorted by UTF-16, no space. Raises NotCanonical.

    The caller bounds size and depth, as `wire.strict_json` does for what was received.
    """
    try:
        return "".join(_pieces(value)).encode("utf-8")
    except UnicodeEncodeError:
        raise NotCanonical("a text holds half a surrogate pair") from None


def _pieces(value: object) -> list[str]:
    if value is None or isinstance(value, bool | str):
        return [_PLAIN.encode(value)]
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise NotCanonical("a number is beyond 2^53")
        return [str(value)]
    if isinstance(value, list | tuple):
        return ["[", ",".join("".join(_pieces(item)) for item in value), "]"]
    if isinstance(value, dict):
        return ["{", ",".join(_member(name, value[name]) for name in sorted(value, key=_by_utf16)), "}"]
    raise NotCanonical(f"a value of the type {type(value).__name__} has no canonical form")


def _member(name: str, value: object) -> str:
    return f"{_PLAIN.encode(name)}:{''.join(_pieces(value))}"


def _by_utf16(name: object) -> bytes:
    if not isinstance(name, str):
        raise NotCanonical("a member's name is not a text")
    return name.encode("utf-16-be", errors="surrogatepass")
