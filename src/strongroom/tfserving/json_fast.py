"""Large, regular predict bodies to arrays by simdjson; anything irregular is left to the exact parser.

A body is regular if it holds nothing but one nested list of numbers and perhaps a signature's name, and if every list
has the length that the first one of its level has. That is proved, not assumed: a few lists are counted one by one;
where there are many, what is left of the text without its numbers has to be the brackets and commas of that shape.
simdjson and the exact parser read numbers alike, so both give the same array; a property test holds them together.
Every doubt ends in the exact parser, whose words are the interface's. Source: spec `serving-performance.md` section 5.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
import simdjson

from strongroom.tfserving.datatypes import STORAGE, Array, DataType
from strongroom.tfserving.json_request import INTEGERS
from strongroom.tfserving.json_values import Json
from strongroom.tfserving.signatures import TensorSpec
from strongroom.tfserving.tensors import MAX_RANK

FROM_BYTES: Final = 2048  # below, orjson alone is faster
MAX_KEPT_BYTES: Final = 16 * 1024 * 1024  # a parser that has read more gives its memory back
_MAX_SHAPES: Final = 8
_FEW_LISTS: Final = 64  # that are looked at one by one
_BUFFERS: Final = {"d": np.float64, "i": np.int64, "u": np.uint64}
_MAX_SHAPE_BYTES: Final = 1024 * 1024  # a frame that is kept
_NUMBERS_AND_BLANKS: Final = b"0123456789+-.eE \t\r\n"
_WS: Final = rb"[ \t\r\n]*"
_NAME: Final = rb'"([A-Za-z0-9_./:-]{0,256})"'
_SIGNATURE: Final = rb'"signature_name"' + _WS + rb":" + _WS + _NAME
_HEAD: Final = re.compile(
    _WS + rb"\{" + _WS + rb"(?:" + _SIGNATURE + _WS + rb"," + _WS + rb')?"(instances|inputs)"' + _WS + rb":" + _WS
    + rb"(?:\{" + _WS + _NAME + _WS + rb":" + _WS + rb")?(?=\[)"
)  # fmt: skip
_TAIL: Final = re.compile(_WS + rb"(\}" + _WS + rb")?(?:," + _WS + _SIGNATURE + _WS + rb")?\}" + _WS)
_FLOATS: Final = (DataType.DT_FLOAT, DataType.DT_DOUBLE)
_UNSIGNED: Final = (DataType.DT_UINT32, DataType.DT_UINT64)


@dataclass(frozen=True, slots=True)
class RegularBody:
    """A body that may be regular: what stands around its one list."""

    signature_name: str
    by_row: bool
    alias: str | None  # the input that `inputs` names
    start: int  # of the list
    stop: int


def regular_body(raw: bytes) -> RegularBody | None:
    """Return the frame of a large body that may be regular, or None."""
    if len(raw) < FROM_BYTES or (head := _HEAD.match(raw)) is None:
        return None
    stop = raw.rfind(b"]") + 1
    tail = _TAIL.fullmatch(raw, max(stop, head.end()))
    if tail is None or (tail[1] is None) != (head[3] is None) or (head[1] is not None and tail[2] is not None):
        return None
    name = head[1] if head[1] is not None else tail[2]
    alias = None if head[3] is None else head[3].decode()
    by_row = head[2] == b"instances"
    if by_row and alias is not None:
        return None
    return RegularBody((name or b"").decode(), by_row, alias, head.end(), stop)


class FastJson:
    """A parser and the shapes it has seen: bounded memory that one event loop uses again and again."""

    def __init__(self) -> None:
        self._parser: Any = simdjson.Parser()
        self._frames: dict[tuple[int, ...], bytes] = {}

    def array(self, raw: bytes, body: RegularBody, specs: Mapping[str, TensorSpec]) -> dict[str, Array] | None:
        """Return the array of the signature's one input, or None for whatever the exact parser has to look at."""
        if len(specs) != 1:
            return None
        ((name, spec),) = specs.items()
        if body.alias not in (None, name):
            return None
        kind = _buffer_kind(spec.dtype)
        found = self._read(raw, body, kind) if kind else None
        if found is None:
            return None
        shape, values = found
        array = _typed(values, spec.dtype)
        return None if array is None else {name: array.reshape(shape)}

    def _read(self, raw: bytes, body: RegularBody, kind: str) -> tuple[tuple[int, ...], Array] | None:
        """Return the numbers and their shape, if the list has one."""
        try:
            document = self._parser.parse(raw)
            listed = document["instances" if body.by_row else "inputs"]
            if body.alias is not None:
                listed = listed[body.alias]
            shape = _shape(listed)
            values = np.frombuffer(listed.as_buffer(of_type=kind), _BUFFERS[kind])
            if not shape or math.prod(shape) != len(values):
                return None
            few = _lists(shape) <= _FEW_LISTS
            regular = _is_regular(listed, shape) if few else self._is_framed(raw, body, shape)
            if few and regular:  # no list may stand where a number should
                text = np.frombuffer(raw, np.uint8, body.stop - body.start, body.start)
                regular = np.count_nonzero(text == ord("[")) == _lists(shape)
        except (ValueError, TypeError, RuntimeError, KeyError, IndexError):  # what the exact parser may still take
            self._parser = simdjson.Parser()
            return None
        finally:
            document = listed = None  # the parser is used again only when nothing refers to what it read
            if len(raw) > MAX_KEPT_BYTES:
                self._parser = simdjson.Parser()
        return (shape, values) if regular else None

    def _is_framed(self, raw: bytes, body: RegularBody, shape: tuple[int, ...]) -> bool:
        """Return whether nothing but the brackets and commas of this shape stands between the numbers."""
        before, after = (part.translate(None, _NUMBERS_AND_BLANKS) for part in (raw[: body.start], raw[body.stop :]))
        bare = raw.translate(None, _NUMBERS_AND_BLANKS)  # of the whole: a part would be copied first
        frame = self._frame(shape)
        return len(bare) == len(before) + len(frame) + len(after) and bare.startswith(frame, len(before))

    def _frame(self, shape: tuple[int, ...]) -> bytes:
        """Return the brackets and commas of a nested list of this shape."""
        frame = self._frames.get(shape)
        if frame is None:
            frame = b"[" + b"," * (shape[-1] - 1) + b"]"
            for size in reversed(shape[:-1]):
                frame = b"[" + b",".join([frame] * size) + b"]"
            if len(self._frames) >= _MAX_SHAPES:
                self._frames.pop(next(iter(self._frames)))
            if len(frame) <= _MAX_SHAPE_BYTES:
                self._frames[shape] = frame
        return frame


def quick_body(raw: bytes) -> dict[str, Json] | None:
    """Return a JSON object, or None for what the exact parser has to look at: the two read the rest alike.

    Integers beyond 64 bits come as floats: a caller that then has to refuse something asks the exact parser first.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _shape(listed: Any) -> tuple[int, ...]:  # noqa: ANN401  # simdjson has no types
    """Return the lengths of the first list of each level, () for a list that has none or that is nested too deep."""
    shape: list[int] = []
    while isinstance(listed, simdjson.Array):
        if not len(listed) or len(shape) == MAX_RANK:
            return ()
        shape.append(len(listed))
        listed = listed[0]
    return tuple(shape)


def _lists(shape: tuple[int, ...]) -> int:
    """Return how many lists a nested list of this shape consists of."""
    return sum(math.prod(shape[:level]) for level in range(len(shape)))


def _is_regular(listed: Any, shape: tuple[int, ...]) -> bool:  # noqa: ANN401  # simdjson has no types
    """Return whether every list has the length of its level."""
    if len(listed) != shape[0]:
        return False
    if len(shape) == 1:
        return True
    return all(isinstance(each, simdjson.Array) and _is_regular(each, shape[1:]) for each in listed)


def _buffer_kind(dtype: DataType) -> str:
    if dtype in _FLOATS:
        return "d"
    if dtype in _UNSIGNED:
        return "u"
    return "i" if dtype in INTEGERS else ""


def _typed(values: Array, dtype: DataType) -> Array | None:
    """Return the values as the exact parser converts them; None where it refuses one."""
    if dtype not in _FLOATS:
        low, stop = INTEGERS[dtype]
        if int(values.min()) < low or int(values.max()) >= stop:
            return None
    with np.errstate(over="ignore"):
        return values.astype(STORAGE[dtype].dtype)
