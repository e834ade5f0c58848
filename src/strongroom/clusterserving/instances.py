"""The body of `POST /predict` and of records with serde `stream`: `{"instances":[{name: value, …}, …]}`. Pure.

A value is a number, a nested list of numbers (float32, all of them), an image in base64 or as `{"b64": …}`, a text, a
list of texts, or a sparse tensor `{"shape": …, "data": …, "indices": …}`. Unlike the original's, every instance counts,
and what does not fit is refused with its path. Source: spec `cluster-serving.md` section 7.1.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

import numpy as np

from strongroom.clusterserving import sparse
from strongroom.clusterserving.arrow_request import image_bytes
from strongroom.clusterserving.faults import BadImage, BadRecord, TooLarge
from strongroom.clusterserving.limits import DEFAULT_LIMITS, Limits
from strongroom.clusterserving.values import Array, Image, Input, Inputs, Sparse, Strings

_MAX_NAME: Final = 256
_IMAGES: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")
_NUMBERS: Final = frozenset({int, float})
_WORDS: Final = {dict: "an object", str: "a text", bool: "true or false", type(None): "null", list: "a list"}


def parse_instances(text: bytes | str, limits: Limits = DEFAULT_LIMITS) -> tuple[Inputs, ...]:
    """Return every instance of a body, in its order. Raises BadRecord (with the path), BadImage, TooLarge."""
    if len(text) > limits.max_record_bytes:
        raise TooLarge(f"the body has {len(text)} bytes, and {limits.max_record_bytes} are allowed")
    if _lists(text) > limits.max_lists:
        raise TooLarge(f"the body has more than {limits.max_lists} lists and objects")
    body = _load(text)
    if not isinstance(body, dict) or set(body) != {"instances"} or not isinstance(body["instances"], list):
        raise BadRecord('the body is an object with one member, "instances", a list')
    instances = body["instances"]
    if not 1 <= len(instances) <= limits.max_instances:
        raise BadRecord(f"a body has 1 to {limits.max_instances} instances, not {len(instances)}")
    return tuple(_instance(each, f"instances[{index}]", limits) for index, each in enumerate(instances))


def _lists(text: bytes | str) -> int:
    if isinstance(text, str):
        return text.count("[") + text.count("{")
    return text.count(b"[") + text.count(b"{")


def memory_of(text: bytes | bytearray) -> int:
    """Return about how many bytes a body takes once it is parsed: its numbers, lists and objects are Python's."""
    return len(text) + 40 * text.count(b",") + 100 * (text.count(b"[") + text.count(b"{"))


def _load(text: bytes | str) -> object:
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode())
    except UnicodeDecodeError:
        raise BadRecord("the body is not UTF-8") from None
    except json.JSONDecodeError as problem:
        raise BadRecord(f"the body is not JSON: {problem.msg} at character {problem.pos}") from None
    except (ValueError, RecursionError):  # an integer of thousands of digits, or a thousand brackets
        raise BadRecord("the body holds a number or a nesting beyond every limit") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadRecord("a name comes twice in an object of the body")
    return found


def _no_number(word: str) -> NoReturn:
    raise BadRecord(f"{word} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_number)


def _instance(value: object, path: str, limits: Limits) -> Inputs:
    if not isinstance(value, dict) or not 1 <= len(value) <= limits.max_columns:
        raise BadRecord(f"{path} is an object with 1 to {limits.max_columns} inputs")
    found: dict[str, Input] = {}
    for name, each in value.items():
        if len(name) > _MAX_NAME:
            raise BadRecord(f"{path}: an input's name has at most {_MAX_NAME} characters")
        found[_sound(name, path)] = _input(each, f"{path}.{name}", limits)
    return found


def _input(value: object, path: str, limits: Limits) -> Input:
    if isinstance(value, str):
        return _text_or_image(value, path)
    if isinstance(value, dict):
        return _object(value, path, limits)
    if not isinstance(value, list):
        if type(value) not in _NUMBERS:
            raise BadRecord(f"{path} is {_kind(value)}, and numbers are wanted")
        return _numbers([value], (1,), path)
    shape = _shape(value, path, limits)
    flat = _flat(value, shape, path)
    if flat and isinstance(flat[0], str):
        return _strings(flat, shape, path, limits)
    return _numbers(flat, shape, path)


def _text_or_image(text: str, path: str) -> Input:
    """Return an image where the text is one in base64, by its first bytes; else the text."""
    try:
        data = image_bytes(path, text.encode("ascii"))
    except (BadImage, UnicodeEncodeError):
        return Strings((_sound(text, path),))
    return Image(data) if data.startswith(_IMAGES) else Strings((text,))


def _sound(text: str, path: str) -> str:
    if any("\ud800" <= each <= "\udfff" for each in text):
        raise BadRecord(f"{path} holds half a character")
    return text


def _object(value: dict[str, Any], path: str, limits: Limits) -> Input:
    match value:
        case {"b64": str(text), **rest} if not rest:
            return Image(image_bytes(path, text.encode("utf-8", "replace")))
        case {"shape": [*shape], "data": [*data], "indices": [*indices], **rest} if not rest:
            return _sparse(shape, data, indices, path=path, limits=limits)
    raise BadRecord(f'{path} is neither {{"b64"}} nor a sparse tensor (shape, data, indices)')


def _sparse(shape: list[Any], data: list[Any], indices: list[Any], *, path: str, limits: Limits) -> Sparse:
    rank = len(shape)
    for row, each in enumerate(indices):
        if not isinstance(each, list) or len(each) != rank:
            raise BadRecord(f"{path}.indices[{row}] is a list of {rank} numbers")
    flat = [_whole(each, f"{path}.indices") for row in indices for each in row]
    numbers = _numbers(data, (len(data),), f"{path}.data")
    places = np.array(flat, np.int64).reshape(len(indices), rank)
    return sparse.checked(places, numbers, tuple(_whole(each, path) for each in shape), name=path, limits=limits)


def _whole(value: object, path: str) -> int:
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise BadRecord(f"{path}: an index or a dimension is a whole number from 0 on")
    return value


def _shape(value: list[Any], path: str, limits: Limits) -> tuple[int, ...]:
    """Return the shape that the first element of each level gives; `_flat` holds the others to it."""
    shape: list[int] = []
    at: Any = value
    while isinstance(at, list):
        shape.append(len(at))
        if len(shape) > limits.max_rank:
            raise BadRecord(f"{path} is nested deeper than {limits.max_rank} levels")
        at = at[0] if at else None
    return tuple(shape)


def _flat(value: list[Any], shape: tuple[int, ...], path: str) -> list[Any]:
    """Return all elements in C order. Raises BadRecord with the path of the first list that is longer or shorter."""
    level = value
    for depth, size in enumerate(shape[1:], start=1):
        for place, each in enumerate(level):
            if not isinstance(each, list) or len(each) != size:
                what = f"has {len(each)} elements" if isinstance(each, list) else f"is {_kind(each)}"
                raise BadRecord(f"{path}{_path(place, shape[:depth])} {what}, and the first like it has {size}")
        level = [element for each in level for element in each]
    return level


def _path(place: int, shape: tuple[int, ...]) -> str:
    """Return the indices of an element, counted in C order: `[1][2]`."""
    indices: list[int] = []
    for size in reversed(shape):
        place, index = divmod(place, size or 1)
        indices.append(index)
    return "".join(f"[{index}]" for index in reversed(indices))


def _strings(flat: list[Any], shape: tuple[int, ...], path: str, limits: Limits) -> Strings:
    if len(flat) > limits.max_strings:
        raise TooLarge(f"{path}: a text tensor has at most {limits.max_strings} elements")
    for place, each in enumerate(flat):
        if not isinstance(each, str):
            raise BadRecord(f"{path}{_path(place, shape)} is {_kind(each)} among texts")
        _sound(each, path)
    return Strings(tuple(flat))


def _numbers(flat: list[Any], shape: tuple[int, ...], path: str) -> Array:
    if not set(map(type, flat)) <= _NUMBERS:
        place = next(place for place, each in enumerate(flat) if type(each) not in _NUMBERS)
        raise BadRecord(f"{path}{_path(place, shape)} is {_kind(flat[place])}, and numbers are wanted")
    with np.errstate(over="ignore"):
        try:
            array = np.array(flat, np.float32)
        except OverflowError:  # an integer beyond a double
            raise BadRecord(f"{path}: a number is beyond every float") from None
    if not np.isfinite(array).all():
        raise BadRecord(f"{path}: a number is beyond float32")
    return array.reshape(shape)


def _kind(value: object) -> str:
    return _WORDS.get(type(value), "a number")
