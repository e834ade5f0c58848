"""JSON as TensorFlow Serving reads and shows it: NaN and Infinity are numbers, text after the first value is ignored.

Source: spec `model-server.md` section 4.1. The error texts are part of the interface.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Final, TypeAlias

from strongroom.errors import BadInput

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
MAX_SHOWN: Final = 256  # characters of a value that an error text repeats
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_TOO_DEEP: Final = "JSON Parse error: Terminate parsing due to Handler error. at offset: 0"


class BadJson(BadInput):
    """A REST body is not the JSON that the interface wants; the sentence is TensorFlow Serving's."""

    code = "SR-REST-JSON"
    fix = 'Send {"instances": [...]} or {"inputs": ...} with the names, types and shapes of the model\'s metadata.'


def parse_body(body: bytes) -> dict[str, Json]:
    """Return the JSON object at the beginning of `body`. Raises BadJson."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise BadJson(f"JSON Parse error: Invalid encoding in string. at offset: {problem.start}") from None
    start = _BLANK.match(text)
    begin = start.end() if start else 0
    if begin == len(text):
        raise BadJson("JSON Parse error: The document is empty")
    value = _decode(text, begin)
    if not isinstance(value, dict):
        raise BadJson(f"JSON Value: {shown(value)} Is not object")
    return value


def _decode(text: str, begin: int) -> Json:
    try:
        value: Json = json.JSONDecoder().raw_decode(text, begin)[0]
    except json.JSONDecodeError as problem:
        raise BadJson(f"JSON Parse error: Invalid value. at offset: {problem.pos}") from None
    except RecursionError:
        raise BadJson(_TOO_DEEP) from None
    except ValueError:  # an integer of thousands of digits: a number beyond every type
        return _decode_huge(text, begin)
    return value


def _decode_huge(text: str, begin: int) -> Json:
    try:
        value: Json = json.JSONDecoder(parse_int=_any_int).raw_decode(text, begin)[0]
    except RecursionError:
        raise BadJson(_TOO_DEEP) from None
    return value


def _any_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= 20 else float(digits)


def shown(value: Json) -> str:
    """Return a value as error texts repeat it: JSON on one line, cut off after 256 characters."""
    parts, size = [], 0
    for piece in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        parts.append(piece[: MAX_SHOWN - size])
        size += len(piece)
        if size >= MAX_SHOWN:
            break
    return "".join(parts)


def kind_of(value: Json) -> str:
    """Return the name that error texts give to the type of a value."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return "True" if value else "False"
    names = ((dict, "Object"), (list, "Array"), (str, "String"))
    return next((name for kind, name in names if isinstance(value, kind)), "Number")


def is_base64_object(value: Json) -> bool:
    """Return whether a value is `{"b64": string}` and nothing more."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_base64_object(value: Json) -> bytes:
    """Return the bytes of a `{"b64": …}` object. Raises BadJson."""
    match value:
        case {"b64": str(text), **others} if not others:
            try:
                return base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                raise BadJson(f"JSON Value: {shown(value)} Unable to base64 decode") from None
    raise BadJson(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
