"""JSON as TensorFlow Serving reads and shows it: NaN and Infinity are numbers, text after the first value is ignored.

Source: spec `model-server.md` section 4.1. The error texts are part of the interface.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from strongroom.tfserving.json_reader import BadJson, Json, any_int, parse_error, rapidjson_words, read

MAX_SHOWN: Final = 256  # characters of a value that an error text repeats
MAX_READ_AGAIN: Final = 2 * 1024 * 1024  # characters of a refused body that are read again for the exact words
_BARE: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}
_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F]"
_HALF_A_PAIR: Final = re.compile(f"{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}")  # perhaps: the exact reader knows

__all__ = ["BadJson", "Json", "decode_base64_object", "is_base64_object", "kind_of", "parse_body", "shown", "utf8"]


def parse_body(body: bytes) -> dict[str, Json]:
    """Return the JSON object at the beginning of `body`. Raises BadJson."""
    if not body:
        raise BadJson("JSON Parse error: The document is empty")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise BadJson(f"JSON Parse error: Invalid encoding in string. at offset: {problem.start}") from None
    value = _decode(text)
    if not isinstance(value, dict):
        raise BadJson(f"JSON Value: {shown(value)} Is not object")
    return value


def _decode(text: str) -> Json:
    try:
        value: Json = _DECODER.raw_decode(text, len(text) - len(text.lstrip(" \t\r\n")))[0]
    except json.JSONDecodeError as problem:
        if len(text) > MAX_READ_AGAIN:
            raise parse_error(rapidjson_words(problem.msg), text, problem.pos) from None
        return read(text)
    except RecursionError:
        if len(text) > MAX_READ_AGAIN:
            raise BadJson("JSON Parse error: Terminate parsing due to Handler error. at offset: 0") from None
        return read(text)
    except ValueError:  # an integer of thousands of digits: a number beyond every type
        return _decode_huge(text)
    if len(text) <= MAX_READ_AGAIN and _HALF_A_PAIR.search(text):
        return read(text)
    return value


def _first_of_each(members: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    """Return an object; where a name comes twice, the first member is the one that RapidJSON finds."""
    made = dict(members)
    if len(made) != len(members):
        made.update(reversed(members))
    return made


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_first_of_each)


def _decode_huge(text: str) -> Json:
    begin = len(text) - len(text.lstrip(" \t\r\n"))
    try:
        value: Json = json.JSONDecoder(parse_int=any_int, object_pairs_hook=_first_of_each).raw_decode(text, begin)[0]
    except json.JSONDecodeError as problem:
        raise parse_error(rapidjson_words(problem.msg), text, problem.pos) from None
    except RecursionError:
        raise BadJson("JSON Parse error: Terminate parsing due to Handler error. at offset: 0") from None
    return value


def shown(value: Json) -> str:
    """Return a value as error texts repeat it: objects a member a line, arrays on one; cut off after 256 characters."""
    parts, size = [], 0
    for piece in [_lone_number(value)] if isinstance(value, float) else _pieces(value, "\n"):
        parts.append(piece[: MAX_SHOWN - size])
        size += len(piece)
        if size >= MAX_SHOWN:  # also what bounds the recursion: each level writes a bracket
            break
    return "".join(parts)


def _pieces(value: Json, line: str) -> Iterator[str]:
    if isinstance(value, list):
        yield "["
        for index, each in enumerate(value):
            yield ", " if index else ""
            yield from _pieces(each, line + "    ")
        yield "]"
    elif isinstance(value, dict):
        yield "{"
        for index, (name, each) in enumerate(value.items()):
            yield ("," if index else "") + line + "    "
            yield f"{_quoted(name)}: "
            yield from _pieces(each, line + "    ")
        yield line + "}" if value else "}"
    elif isinstance(value, str):
        yield _quoted(value)
    else:
        yield _scalar(value)


def _quoted(text: str) -> str:
    return json.dumps(text[:MAX_SHOWN], ensure_ascii=False)


def _lone_number(value: float) -> str:
    """Return a number that is no integer as answers spell it: in single precision where it fits, else in double."""
    try:
        value, digits = struct.unpack("<f", struct.pack("<f", value))[0], 9
        spelt = struct.unpack("<f", struct.pack("<f", float(f"{value:.6g}")))[0]
    except OverflowError:
        digits, spelt = 17, float(f"{value:.6g}")
    if not math.isfinite(value):
        return _scalar(value)
    text = f"{value:.6g}" if spelt == value else f"{value:.{digits}g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _scalar(value: Json) -> str:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else _BARE.get(value, repr(value))
    return json.dumps(value)


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
    """Return the bytes of a `{"b64": …}` object; blanks are skipped and padding may be missing. Raises BadJson."""
    match value:
        case {"b64": str(text), **others} if not others:
            packed = "".join(text.split())
            padding = "" if packed.endswith("=") else "=" * (-len(packed) % 4)
            try:
                return base64.b64decode(packed + padding, validate=True)
            except (binascii.Error, ValueError):
                raise BadJson("Unable to base64 decode") from None
    raise BadJson(f"JSON Value: {shown(value)} not formatted correctly for base64 data")


def utf8(text: str) -> bytes:
    """Return a JSON string's bytes. Raises BadJson for half a character, which JSON can spell and text cannot hold."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadJson("JSON Parse error: The surrogate pair in string is invalid.") from None
