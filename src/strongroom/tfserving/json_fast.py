"""Large, regular predict bodies to arrays, without a Python object for each number; others are for the exact parser.

A body is regular if it holds nothing but one nested list of numbers and perhaps a signature's name, and if every list
has the length that the first one of its level has. `_json_numbers.c` reads such a list in one pass where it was
compiled; elsewhere simdjson does (`json_simd.py`). All read numbers alike, so they give the same array; property tests
hold them together. Every doubt ends in the exact parser, whose words are the interface's.
Source: spec `serving-performance.md` section 5.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
import orjson

from strongroom.tfserving.datatypes import STORAGE, Array, DataType
from strongroom.tfserving.json_request import INTEGERS
from strongroom.tfserving.json_values import Json
from strongroom.tfserving.signatures import TensorSpec

FROM_BYTES: Final = 2048  # below, orjson alone is faster
_MAX_TAIL_BYTES: Final = 4096  # after the list
_WS: Final = rb"[ \t\r\n]*"
_NAME: Final = rb'"([A-Za-z0-9_./:-]{0,256})"'
_SIGNATURE: Final = rb'"signature_name"' + _WS + rb":" + _WS + _NAME
_HEAD: Final = re.compile(
    _WS + rb"\{" + _WS + rb"(?:" + _SIGNATURE + _WS + rb"," + _WS + rb')?"(instances|inputs)"' + _WS + rb":" + _WS
    + rb"(?:\{" + _WS + _NAME + _WS + rb":" + _WS + rb")?(?=\[)"
)  # fmt: skip
_TAIL: Final = re.compile(_WS + rb"(\}" + _WS + rb")?(?:," + _WS + _SIGNATURE + _WS + rb")?\}" + _WS)
_FEW_NAMES: Final = 8  # are counted one by one, which is quicker
_TOP_LEVEL: Final = (b"instances", b"inputs", b"signature_name")
_FLOATS: Final = (DataType.DT_FLOAT, DataType.DT_DOUBLE)
_UNSIGNED: Final = (DataType.DT_UINT32, DataType.DT_UINT64)
Kind: TypeAlias = Literal["f", "d", "q", "Q"]  # as `struct` names them
BUFFERS: Final = {"f": np.float32, "d": np.float64, "q": np.int64, "Q": np.uint64}


@dataclass(frozen=True, slots=True)
class RegularBody:
    """A body that may be regular: what stands around its one list."""

    signature_name: str
    by_row: bool
    alias: str | None  # the input that `inputs` names
    start: int  # of the list
    stop: int


class ListReader(Protocol):
    """Reads the list of a regular body."""

    def read(self, raw: bytes | memoryview, body: RegularBody, kind: Kind) -> tuple[tuple[int, ...], Array] | None:
        """Return the shape and the numbers, or None if the list is not regular. "f" may come as "d"."""
        ...


def regular_body(raw: bytes | memoryview) -> RegularBody | None:
    """Return the frame of a large body that may be regular, or None."""
    if len(raw) < FROM_BYTES or (head := _HEAD.match(raw)) is None:
        return None
    before = max(len(raw) - _MAX_TAIL_BYTES, head.end())  # what stands before is not looked at
    stop = before + bytes(raw[before:]).rfind(b"]") + 1
    tail = _TAIL.fullmatch(raw, stop)
    if tail is None or (tail[1] is None) != (head[3] is None) or (head[1] is not None and tail[2] is not None):
        return None
    name = head[1] if head[1] is not None else tail[2]
    alias = None if head[3] is None else head[3].decode()
    by_row = head[2] == b"instances"
    if by_row and alias is not None:
        return None
    return RegularBody((name or b"").decode(), by_row, alias, head.end(), stop)


class FastJson:
    """Reads regular bodies; it may keep memory that one event loop uses again and again."""

    def __init__(self, reader: ListReader | None = None) -> None:
        self._reader = reader or best_reader()

    def array(
        self, raw: bytes | memoryview, body: RegularBody, specs: Mapping[str, TensorSpec]
    ) -> dict[str, Array] | None:
        """Return the array of the signature's one input, or None for whatever the exact parser has to look at."""
        if len(specs) != 1:
            return None
        ((name, spec),) = specs.items()
        if body.alias not in (None, name):
            return None
        kind = _kind(spec.dtype)
        found = self._reader.read(raw, body, kind) if kind else None
        if found is None:
            return None
        shape, values = found
        array = _typed(values, spec.dtype)
        return None if array is None else {name: array.reshape(shape)}


class CompiledReader:
    """One pass over the text, by `_json_numbers.c`. Raises ImportError where that was not compiled."""

    def __init__(self) -> None:
        from strongroom.tfserving._json_numbers import nested

        self._nested = nested

    def read(self, raw: bytes | memoryview, body: RegularBody, kind: Kind) -> tuple[tuple[int, ...], Array] | None:
        """Return the shape and the numbers."""
        found = self._nested(raw, body.start, body.stop, kind)
        return None if found is None else (found[0], np.frombuffer(found[1], BUFFERS[kind]))


def best_reader() -> ListReader:
    """Return the compiled reader, or simdjson's."""
    try:
        return CompiledReader()
    except ImportError:
        from strongroom.tfserving.json_simd import SimdReader

        return SimdReader()


def quick_body(raw: bytes) -> dict[str, Json] | None:
    """Return a JSON object, or None for what the exact parser has to look at: the two read the rest alike.

    Integers beyond 64 bits come as floats: a caller that then has to refuse something asks the exact parser first.
    Where a name may come twice in one object, the exact parser decides which member counts.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return None if not isinstance(value, dict) or _may_repeat(raw, value) else value


def _may_repeat(raw: bytes, body: Mapping[str, Json]) -> bool:
    """Return whether a name that matters is spelt more often than in objects without repetition."""
    if b"\\" in raw:
        if b"\\u00" in raw:  # so may a name be spelt
            return True
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")  # now quotation marks stand around strings alone
    strings = raw.split(b'"')[1::2]
    rows, columns = body.get("instances"), body.get("inputs")
    for name in _TOP_LEVEL:
        if strings.count(name) > 1:
            return True
    times = 1
    if isinstance(rows, list) and rows:
        columns, times = rows[0], len(rows)
    if not isinstance(columns, dict):
        return False
    spelt = Counter(strings) if len(columns) > _FEW_NAMES else None  # one pass, however many names a body has
    count = strings.count if spelt is None else spelt.__getitem__
    return any(count(name.encode()) > times for name in columns)


def _kind(dtype: DataType) -> Kind | None:
    if dtype in _FLOATS:
        return "f" if dtype is DataType.DT_FLOAT else "d"
    if dtype in _UNSIGNED:
        return "Q"
    return "q" if dtype in INTEGERS else None


def _typed(values: Array, dtype: DataType) -> Array | None:
    """Return the values as the exact parser converts them; None where it refuses one."""
    if values.dtype == STORAGE[dtype].dtype:
        return values
    if dtype not in _FLOATS:
        low, stop = INTEGERS[dtype]
        if int(values.min()) < low or int(values.max()) >= stop:
            return None
    with np.errstate(over="ignore"):
        return values.astype(STORAGE[dtype].dtype, copy=False)
