"""Requests as the original sends them: one Arrow record batch, one column an input. Pure.

A tensor is a column of structs with the lists `indiceData`, `indiceShape`, `data` and `shape`, spread over four rows;
a text or an image is a column of strings. Source: spec `cluster-serving.md` section 3.2.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

from strongroom.clusterserving import sparse
from strongroom.clusterserving.arrow_lists import NUMBERS, Arrays
from strongroom.clusterserving.arrow_wire import END, Field, read_stream, write_batch
from strongroom.clusterserving.faults import BadImage, BadRecord, TooLarge
from strongroom.clusterserving.limits import DEFAULT_LIMITS, Limits, countable
from strongroom.clusterserving.values import Array, Image, Input, Inputs, Sparse, Strings, view
from strongroom.errors import BadInput

_CHILDREN: Final = ("indiceData", "indiceShape", "data", "shape")  # one a row, in the order of the original's client
_FOUR_OFFSETS: Final = struct.Struct("<5i")
_EMPTY: Final = np.zeros(0, np.int32)
_TENSOR, _TEXT = "tensor", "text"
_USUAL_FORM: Final = "struct<indiceData:list<int32>,indiceShape:list<int32>,data:list<float32>,shape:list<int32>>"
_ROW_BITS: Final = (b"\x01", b"\x02", b"\x04", b"\x08")
_ROW_OFFSETS: Final = (
    lambda count: _FOUR_OFFSETS.pack(0, count, count, count, count),
    lambda count: _FOUR_OFFSETS.pack(0, 0, count, count, count),
    lambda count: _FOUR_OFFSETS.pack(0, 0, 0, count, count),
    lambda count: _FOUR_OFFSETS.pack(0, 0, 0, 0, count),
)


class ArrowMissing(BadInput):
    """Records in the original's form need pyarrow, which is not installed."""

    code = "SR-QUEUE-ARROW"
    fix = "Install it: pip install 'strongroom[streaming]'."


def encode_inputs(inputs: Mapping[str, Any]) -> bytes:
    """Return inputs as an Arrow stream: arrays, [indices, values, shape], texts, `{"b64": …}`, and this room's values.

    Numbers become float32. Raises BadRecord for what has no form: files are for the client to read before.
    """
    values = {name: as_input(name, value) for name, value in inputs.items()}
    kinds = tuple((name, _TEXT if isinstance(value, Image | Strings) else _TENSOR) for name, value in values.items())
    if not kinds:
        raise BadRecord("a record has at least one input")
    rows = 4 if any(kind == _TENSOR for _, kind in kinds) else 1
    nodes: list[int] = []
    parts: list[bytes | memoryview] = []
    for name, value in values.items():
        if isinstance(value, Image | Strings):
            _write_text(_as_text(name, value), rows, nodes, parts)
        else:
            _write_tensor(value, nodes, parts)
    return b"".join((_schema_bytes(kinds), *write_batch(rows, tuple(nodes), parts), END))


def as_input(name: str, value: object) -> Input:
    """Return a value of the client's calls as an input. Raises BadRecord."""
    match value:
        case np.ndarray() | Image() | Strings() | Sparse():
            return value
        case {"b64": str(text), **others} if not others:
            return Image(image_bytes(name, text.encode()))
        case [np.ndarray() as indices, np.ndarray() as values, np.ndarray() as shape]:
            return Sparse(indices, values, tuple(int(each) for each in shape.ravel()))
        case [str(), *_] if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return Strings(tuple(value))
        case np.generic() | float() | int():
            return np.asarray(value)
    raise BadRecord(
        f"{name}: {type(value).__name__} cannot be sent",
        fix="Use an array, a list of three arrays (sparse), a list of texts, or {'b64': an image in base64}.",
    )


def _as_text(name: str, value: Image | Strings) -> bytes:
    if isinstance(value, Image):
        return base64.b64encode(value.data)
    if len(value.values) < 2 or any("|" in each for each in value.values):
        raise BadRecord(
            f"{name}: the Arrow form has no way to send one text, or a text with | in it",
            fix="Use the raw form (serde raw).",
        )
    return "|".join(value.values).encode("utf-8", "replace")


def _write_text(text: bytes, rows: int, nodes: list[int], parts: list[bytes | memoryview]) -> None:
    nodes += rows, rows - 1
    parts += [_ROW_BITS[0] if rows > 1 else b"", struct.pack(f"<{rows + 1}i", 0, *[len(text)] * rows), text]


def _write_tensor(value: Array | Sparse, nodes: list[int], parts: list[bytes | memoryview]) -> None:
    """Append a column of four rows, the r-th of which holds the r-th child alone."""
    if isinstance(value, Sparse):
        indices, values = np.ascontiguousarray(value.indices, np.int32), np.ascontiguousarray(value.values, np.float32)
        shape, counts = value.shape, (indices.size, indices.ndim, values.size, len(value.shape))
        lists = indices.tobytes(), _int32s(indices.shape), values.tobytes()
    else:
        values, shape = as_float32(value), value.shape
        counts, lists = (0, 0, values.size, values.ndim), (b"", b"", values.tobytes())
    nodes += 4, 0
    parts.append(b"")
    for row, (count, content) in enumerate(zip(counts, (*lists, _int32s(shape)), strict=True)):
        nodes += 4, 3, count, 0
        parts += _ROW_BITS[row], _ROW_OFFSETS[row](count), b"", content


def _int32s(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def as_float32(value: Array) -> Array:
    """Return numbers as the Arrow form has them, in C order. Raises BadRecord for other arrays."""
    if value.dtype == np.float32 and value.flags.c_contiguous:
        return value
    if value.dtype.kind not in "biuf":
        raise BadRecord(f"an array of type {value.dtype} has no Arrow form: numbers have")
    with np.errstate(over="ignore"):
        return value.astype(np.float32, order="C")


@lru_cache(maxsize=256)
def _schema_bytes(kinds: tuple[tuple[str, str], ...]) -> bytes:
    try:
        import pyarrow as pa
    except ImportError:
        raise ArrowMissing("pyarrow is not installed") from None
    ints, floats = pa.list_(pa.int32()), pa.list_(pa.float32())
    tensor = pa.struct([(name, floats if name == "data" else ints) for name in _CHILDREN])
    try:
        schema = pa.schema([(name, tensor if kind == _TENSOR else pa.string()) for name, kind in kinds])
    except UnicodeEncodeError:
        raise BadRecord("an input's name is not UTF-8") from None
    return bytes(schema.serialize())


def decode_inputs(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Inputs:
    """Read an Arrow stream of one batch, whoever wrote it: in four rows, in one, or in one for each value.

    Arrays are views of `data`. Raises BadRecord, BadImage, TooLarge.
    """
    if len(data) > limits.max_record_bytes:
        raise TooLarge(f"the record has {len(data)} bytes, and {limits.max_record_bytes} are allowed")
    schema, batches = read_stream(data, max_batches=1)
    if not batches or not 1 <= len(schema.columns) <= limits.max_columns:
        raise BadRecord(f"a record is one Arrow batch of 1 to {limits.max_columns} columns")
    arrays = Arrays(data, batches[0])
    found: dict[str, Input] = {}
    for field, form, node, buffer in schema.columns:
        if field.name in found:
            raise BadRecord(f"{shown(field.name)}: the column comes twice")
        usual = usual_tensor(arrays, node, buffer, limits) if form == _USUAL_FORM else None
        found[field.name] = _column(arrays, field, node, buffer, limits) if usual is None else usual
    return found


def _column(arrays: Arrays, field: Field, node: int, buffer: int, limits: Limits) -> Input:
    rows, name = arrays.batch.nodes[2 * node], shown(field.name)
    if rows != arrays.batch.rows:
        raise BadRecord(f"{name}: the column is not as long as its batch")
    if field.kind == "struct":
        return _tensor(arrays, field, node, buffer, limits)
    if field.kind in NUMBERS:
        numbers, nulls = arrays.numbers(field.kind, node, buffer)
        if not rows or (nulls and not arrays.valid(node, buffer) & 1):
            raise BadRecord(f"{name}: the first row is empty")
        return numbers[:1].astype(np.float32, copy=False)
    if field.kind == "list":
        raise BadRecord(f"{name}: a list is no input")
    text = arrays.first_text(node, buffer)
    if text is None:
        raise BadRecord(f"{name}: the first row is empty")
    if field.kind == "binary":
        return Image(text)
    return strings(name, text, limits) if b"|" in text else Image(image_bytes(name, text))


def usual_tensor(arrays: Arrays, node: int, buffer: int, limits: Limits) -> Array | None:
    """Return a dense tensor in four rows whose arrays are just as `_write_tensor` makes them, None for any other."""
    batch, data = arrays.batch, arrays.data
    nodes = batch.nodes[2 * node : 2 * node + 18]
    count, rank = nodes[12], nodes[16]
    if nodes != (4, 0, 4, 3, 0, 0, 4, 3, 0, 0, 4, 3, count, 0, 4, 3, rank, 0) or rank > limits.max_rank or count >> 31:
        return None
    buffers = batch.buffers[2 * buffer : 2 * buffer + 34]
    if (*buffers[3::8], *buffers[5::8]) != (1, 1, 1, 1, 20, 20, 20, 20) or batch.rows != 4:
        return None
    body, (values, size, shape, shape_size) = batch.body, (*buffers[24:26], *buffers[32:34])
    for row, (bits, offsets) in enumerate(zip(buffers[2::8], buffers[4::8], strict=True)):
        ends = _FOUR_OFFSETS.unpack_from(data, body + offsets)
        items = nodes[4 * row + 4]
        if data[body + bits] & 15 != 1 << row or ends != ((0,) * (row + 1) + (items,) * (4 - row)):
            return None
    dimensions = struct.unpack_from(f"<{rank}i", data, body + shape)
    if size < 4 * count or shape_size < 4 * rank or min(dimensions, default=0) < 0 or math.prod(dimensions) != count:
        return None
    if not count and not countable(dimensions):
        return None
    return view(data, NUMBERS["float32"], count, body + values).reshape(dimensions)


def shown(name: str) -> str:
    """Return an input's name as errors repeat it."""
    return repr(name if len(name) <= 80 else name[:80] + "…")


def strings(name: str, text: bytes, limits: Limits) -> Strings:
    """Return the tensor that a text with `|` between its elements is. Raises BadRecord, TooLarge."""
    if text.count(b"|") >= limits.max_strings:
        raise TooLarge(f"{name}: a text tensor has at most {limits.max_strings} elements")
    try:
        return Strings(tuple(text.decode().split("|")))
    except UnicodeDecodeError:
        raise BadRecord(f"{name}: the text is not UTF-8") from None


def image_bytes(name: str, text: bytes) -> bytes:
    """Return the bytes of an image in base64 (RFC 4648 section 4, padded, no line breaks). Raises BadImage."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise BadImage(f"{name}: the image is not in base64") from None


def _tensor(arrays: Arrays, field: Field, node: int, buffer: int, limits: Limits) -> Input:
    """Return the tensor in a struct column; whether its rows are null says nothing, its lists alone do."""
    name, at, buffer_at = shown(field.name), node + 1, buffer + 1
    lists: dict[str, Any] = {}
    for child in field.children:
        item = child.children[0].kind if child.kind == "list" else ""
        wanted = item in NUMBERS or item in ("string", "binary") if child.name == "data" else item == "int32"
        if child.name not in _CHILDREN or child.name in lists or not wanted:
            raise BadRecord(f"{name}: {shown(child.name)} of this type is no part of a tensor")
        lists[child.name] = _list(arrays, item, at, buffer_at, limits)
        at, buffer_at = at + 2, buffer_at + (4 if item in NUMBERS else 5)
    if "data" not in lists or "shape" not in lists:
        raise BadRecord(f"{name}: a tensor has data and a shape")
    values, shape = lists["data"], tuple(lists["shape"].tolist())
    if len(shape) > limits.max_rank or any(each < 0 for each in shape):
        raise BadRecord(f"{name}: a tensor has at most {limits.max_rank} dimensions, none of them negative")
    indice_shape = lists.get("indiceShape", _EMPTY).tolist()
    if indice_shape and isinstance(values, np.ndarray):
        indices = lists.get("indiceData", _EMPTY)
        return _sparse(name, indices, indice_shape, values, shape=shape, limits=limits)
    if math.prod(shape) != len(values) or indice_shape or len(lists.get("indiceData", _EMPTY)):
        raise BadRecord(f"{name}: {len(values)} values do not fill the shape {list(shape)}")
    if not countable(shape):
        raise BadRecord(f"{name}: the shape {list(shape)} has more elements than there can be")
    return values.astype(np.float32, copy=False).reshape(shape) if isinstance(values, np.ndarray) else Strings(values)


def _sparse(
    name: str, indices: Array, indice_shape: list[int], values: Array, *, shape: tuple[int, ...], limits: Limits
) -> Sparse:
    if len(indice_shape) != 2 or min(indice_shape) < 0 or math.prod(indice_shape) != indices.size:
        raise BadRecord(f"{name}: {indices.size} indices do not fill the shape {indice_shape}")
    return sparse.checked(indices.reshape(indice_shape), values, shape, name=name, limits=limits)


def _list(arrays: Arrays, item: str, node: int, buffer: int, limits: Limits) -> Array | tuple[str, ...]:
    spans = arrays.list_spans(node, buffer)
    if item in NUMBERS:
        numbers, nulls = arrays.numbers(item, node + 1, buffer + 2)
        if nulls:
            raise BadRecord("a tensor holds a null")
        parts = [numbers[start:stop] for start, stop in spans]
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else numbers[:0]
    if sum(stop - start for start, stop in spans) > limits.max_strings:
        raise TooLarge(f"a text tensor has at most {limits.max_strings} elements")
    if arrays.batch.nodes[2 * node + 2] > limits.max_strings:
        raise TooLarge(f"a text tensor has at most {limits.max_strings} elements")
    texts = arrays.texts(node + 1, buffer + 2)
    try:
        return tuple(_never_null(text).decode() for start, stop in spans for text in texts[start:stop])
    except UnicodeDecodeError:
        raise BadRecord("a text tensor is not UTF-8") from None


def _never_null(text: bytes | None) -> bytes:
    if text is None:
        raise BadRecord("a tensor holds a null")
    return text
