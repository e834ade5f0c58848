"""The raw form: a tensor's bytes as they are, beside a few words about them. Ours. Pure.

In a record or a result: fields `d:NAME` (little-endian bytes) and `m:NAME` (JSON: `{"dtype":"float32","shape":[4]}`,
`{"image":"jpeg"}`, `{"dtype":"string","shape":[2]}` with each text behind its length in four bytes, or
`{"sparse":[nnz,rank],"shape":[…]}` with int32 indices, then float32 values). Inside sealed records the same, joined
to one container. Source: spec `cluster-serving.md` section 3.1.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np

from strongroom.clusterserving import sparse
from strongroom.clusterserving.faults import BadRecord, TooLarge
from strongroom.clusterserving.limits import DEFAULT_LIMITS, MAX_ELEMENTS, Limits, countable
from strongroom.clusterserving.values import Array, Image, Input, Inputs, Sparse, Strings, view

DATA, META = b"d:", b"m:"
MAX_META_BYTES: Final = 256
DTYPES: Final = {
    name: np.dtype(name).newbyteorder("<")
    for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
                 "float64")
}  # fmt: skip
_WORDS: Final = {dtype.str: name for name, dtype in DTYPES.items()}
_LENGTH: Final = struct.Struct("<I")
_PART: Final = struct.Struct("<HHQ")
_COUNT: Final = struct.Struct("<H")
_Part: TypeAlias = "tuple[bytes, bytes, bytes | memoryview]"  # name, words, data


@dataclass(frozen=True, slots=True)
class _Meta:
    kind: str  # a key of DTYPES, "string", "image" or "sparse"
    shape: tuple[int, ...] = ()
    sparse: tuple[int, ...] = ()
    count: int = 0


def to_parts(inputs: Inputs) -> list[tuple[str, bytes, bytes]]:
    """Return (name, words, bytes) for each input. Raises BadRecord for an array of a type that is not sent."""
    return [(name, *_written(name, value)) for name, value in inputs.items()]


def to_fields(inputs: Inputs) -> dict[str, bytes]:
    """Return the fields of inputs or outputs, in their order. Raises BadRecord."""
    fields: dict[str, bytes] = {}
    for name, meta, data in to_parts(inputs):
        fields["m:" + name], fields["d:" + name] = meta, data
    return fields


def from_fields(fields: Mapping[bytes, bytes], limits: Limits = DEFAULT_LIMITS) -> Inputs:
    """Return the inputs in a record's fields, as views of them. Raises BadRecord, TooLarge."""
    return {name: _read(meta, data, limits) for name, meta, data in _checked(_fields(fields), limits)}


def arrays_from_fields(fields: Mapping[bytes, bytes], limits: Limits = DEFAULT_LIMITS) -> dict[str, Array]:
    """Return the outputs in a result's fields; texts are arrays of objects. Raises BadRecord, TooLarge."""
    return {name: _array(meta, data, limits) for name, meta, data in _checked(_fields(fields), limits)}


def _fields(fields: Mapping[bytes, bytes]) -> list[_Part]:
    parts: list[_Part] = []
    for field, meta in fields.items():
        if field[:2] == META:
            data = fields.get(DATA + field[2:])
            if data is None:
                raise BadRecord("a field m: has no field d: beside it")
            parts.append((field[2:], meta, data))
    if len(parts) != sum(field[:2] == DATA for field in fields):
        raise BadRecord("a field d: has no field m: beside it")
    return parts


def to_bytes(inputs: Inputs) -> bytes:
    """Return inputs or outputs as one container: their count, then each with the lengths of its three parts."""
    parts = to_parts(inputs)
    pieces = [_COUNT.pack(len(parts))]
    for name, meta, data in parts:
        spelt = name.encode("utf-8", "replace")
        pieces += _PART.pack(len(spelt), len(meta), len(data)), spelt, meta, data
    return b"".join(pieces)


def from_bytes(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Inputs:
    """Return the inputs in a container, as views of it. Raises BadRecord, TooLarge."""
    return {name: _read(meta, part, limits) for name, meta, part in _checked(_container(data, limits), limits)}


def arrays_from_bytes(data: bytes, limits: Limits = DEFAULT_LIMITS) -> dict[str, Array]:
    """Return the outputs in a container; texts are arrays of objects. Raises BadRecord, TooLarge."""
    return {name: _array(meta, part, limits) for name, meta, part in _checked(_container(data, limits), limits)}


def _container(data: bytes, limits: Limits) -> list[_Part]:
    if len(data) > limits.max_record_bytes:
        raise TooLarge(f"the record has {len(data)} bytes, and {limits.max_record_bytes} are allowed")
    parts: list[_Part] = []
    view, at = memoryview(data), _COUNT.size
    try:
        (count,) = _COUNT.unpack_from(data)
        for _ in range(min(count, limits.max_columns + 1)):
            name_size, meta_size, size = _PART.unpack_from(data, at)
            at += _PART.size
            middle, start = at + name_size, at + name_size + meta_size
            parts.append((data[at:middle], data[middle:start], view[start : start + size]))
            at = start + size
            if at > len(data):
                raise BadRecord("the raw container is cut short")
    except struct.error:
        raise BadRecord("the raw container is cut short") from None
    if at != len(data) and len(parts) == count:
        raise BadRecord("the raw container goes on after its last part")
    return parts


def _checked(parts: Iterable[_Part], limits: Limits) -> list[tuple[str, _Meta, bytes | memoryview]]:
    found: dict[str, tuple[str, _Meta, bytes | memoryview]] = {}
    for spelt, words, data in parts:
        try:
            name = spelt.decode()
        except UnicodeDecodeError:
            raise BadRecord("an input's name is not UTF-8") from None
        if name in found:
            raise BadRecord("an input comes twice")
        if len(words) > MAX_META_BYTES:
            raise BadRecord("the words about an input are longer than they may be")
        if len(data) > limits.max_record_bytes:
            raise TooLarge(f"an input has at most {limits.max_record_bytes} bytes")
        found[name] = (name, _meta(words), data)
        if len(found) > limits.max_columns:
            raise BadRecord(f"a record has at most {limits.max_columns} inputs")
    if not found:
        raise BadRecord("the record has no inputs")
    return list(found.values())


def _array(meta: _Meta, data: bytes | memoryview, limits: Limits) -> Array:
    found = _read(meta, data, limits)
    if isinstance(found, Strings):
        made = np.empty(len(found.values), object)
        made[:] = found.values
        return made.reshape(meta.shape)
    if not isinstance(found, np.ndarray):
        raise BadRecord("an output is an array, not an image or a sparse tensor")
    return found


def _read(meta: _Meta, data: bytes | memoryview, limits: Limits) -> Input:
    dtype = DTYPES.get(meta.kind)
    if dtype is not None:
        if meta.count * dtype.itemsize != len(data) or len(meta.shape) > limits.max_rank:
            raise BadRecord(f"{len(data)} bytes do not fill {meta.kind} of shape {list(meta.shape)}")
        if meta.kind == "bool":
            octets = np.frombuffer(data, np.uint8)
            if octets.size and octets.max() > 1:
                raise BadRecord("a bool is a byte of 0 or 1")
        return view(data, dtype, meta.count).reshape(meta.shape)
    if meta.kind == "image":
        return Image(bytes(data))
    return _texts(meta, bytes(data), limits) if meta.kind == "string" else _sparse(meta, data, limits)


def _texts(meta: _Meta, data: bytes, limits: Limits) -> Strings:
    if meta.count > limits.max_strings or meta.count * _LENGTH.size > len(data) or len(meta.shape) > limits.max_rank:
        raise BadRecord("a text tensor is cut short, or has too many elements or dimensions")
    found, at = [], 0
    try:
        for _ in range(meta.count):
            start = at + _LENGTH.size
            at = start + _LENGTH.unpack_from(data, at)[0]
            found.append(data[start:at].decode())
    except (struct.error, UnicodeDecodeError):
        raise BadRecord("a text tensor is cut short, or not UTF-8") from None
    if at != len(data):
        raise BadRecord("the texts of a tensor do not fill its bytes")
    return Strings(tuple(found))


def _sparse(meta: _Meta, data: bytes | memoryview, limits: Limits) -> Sparse:
    count, rank = meta.sparse
    if (count * rank + count) * 4 != len(data) or rank != len(meta.shape):
        raise BadRecord("the bytes of a sparse tensor are not as many as its counts say")
    indices = view(data, DTYPES["int32"], count * rank).reshape(count, rank)
    values = view(data, DTYPES["float32"], count, count * rank * 4)
    return sparse.checked(indices, values, meta.shape, name="a sparse input", limits=limits)


@lru_cache(maxsize=1024)
def _meta(words: bytes) -> _Meta:
    try:
        found = json.loads(words)
    except (ValueError, RecursionError):
        found = None
    match found:
        case {"image": str(), **rest} if not rest:
            return _Meta("image")
        case {"dtype": str(kind), "shape": [*shape], **rest} if not rest and (kind in DTYPES or kind == "string"):
            sizes = _sizes(shape)
            if not countable(sizes):
                raise BadRecord("a shape has more elements than there can be")
            return _Meta(kind, sizes, (), math.prod(sizes))
        case {"sparse": [_, _] as counts, "shape": [*shape], **rest} if not rest:
            return _Meta("sparse", _sizes(shape), _sizes(counts))
    raise BadRecord("the words about an input are neither a dtype and a shape, nor image, nor sparse")


def _sizes(shape: list[Any]) -> tuple[int, ...]:
    if any(type(each) is not int or not 0 <= each < MAX_ELEMENTS for each in shape):
        raise BadRecord("a dimension is no number from 0 on")
    return tuple(shape)


def _written(name: str, value: Input) -> tuple[bytes, bytes]:
    match value:
        case Image(data):
            return b'{"image":"%s"}' % _image_kind(data), data
        case Strings(texts):
            return _written_texts(texts, (len(texts),))
        case Sparse():
            words = b'{"sparse":[%d,%d],"shape":%s}' % (*value.indices.shape, _json_shape(value.shape))
            return words, value.indices.astype("<i4").tobytes() + value.values.astype("<f4").tobytes()
    word = _WORDS.get(value.dtype.str)
    if word is not None:
        return _array_words(word, value.shape), value.tobytes()
    if value.dtype.kind in "OSU":
        return _written_texts(value.ravel().tolist(), value.shape)
    dtype = DTYPES.get(value.dtype.name)
    if dtype is None:
        raise BadRecord(f"{name}: an array of type {value.dtype} is not sent: numbers, bool and texts are")
    return _array_words(value.dtype.name, value.shape), value.astype(dtype).tobytes()


def _written_texts(texts: Sequence[object], shape: tuple[int, ...]) -> tuple[bytes, bytes]:
    pieces: list[bytes] = []
    for each in texts:
        if not isinstance(each, str | bytes):
            raise BadRecord(f"an array of {type(each).__name__} is not sent: numbers, bool and texts are")
        spelt = each.encode("utf-8", "replace") if isinstance(each, str) else each
        pieces += _LENGTH.pack(len(spelt)), spelt
    return _array_words("string", shape), b"".join(pieces)


@lru_cache(maxsize=1024)
def _array_words(dtype: str, shape: tuple[int, ...]) -> bytes:
    return b'{"dtype":"%s","shape":%s}' % (dtype.encode(), _json_shape(shape))


def _json_shape(shape: tuple[int, ...]) -> bytes:
    return b"[%s]" % b",".join(b"%d" % each for each in shape)


def _image_kind(data: bytes) -> bytes:
    return b"jpeg" if data[:2] == b"\xff\xd8" else b"png" if data[:4] == b"\x89PNG" else b"encoded"
