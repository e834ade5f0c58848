"""TensorProto to numpy and back.

Source: spec `model-server.md` section 2, "Decoding a TensorProto" and "Encoding outputs". Declared dimensions are
checked against what was sent before anything is allocated. Arrays of fixed-size types lie over the message's own bytes
where these are aligned, so they are read-only; strings are object arrays of bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from strongroom.errors import BadInput
from strongroom.tfserving.datatypes import STORAGE, Array, DataType, type_of_array, type_of_number
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.messages import TensorProto

MAX_RANK: Final = 32
Buffer: TypeAlias = bytes | memoryview


class BadTensor(BadInput):
    """A tensor's type, shape and values contradict each other, or are larger than allowed."""

    code = "SR-TENSOR"
    fix = "Send as many values as the shape has elements, in the type that the model's metadata names."


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a few bytes may grow: a tensor that repeats its last value, in bytes of memory."""

    max_expanded_bytes: int = 64 * 1024 * 1024


DEFAULT_LIMITS: Final = Limits()


def tensor_to_array(tensor: ProtoMessage, *, limits: Limits = DEFAULT_LIMITS) -> Array:
    """Return the values of a TensorProto in their storage type. Raises BadTensor or UnsupportedType."""
    kind = type_of_number(tensor.dtype)
    shape = _shape(tensor)
    if tensor.tensor_content:
        return content_to_array(kind, shape, tensor.tensor_content)
    return _fill(_typed_values(kind, tensor), kind, shape, limits)


def content_to_array(kind: DataType, shape: tuple[int, ...], content: Buffer) -> Array:
    """Return an array over little-endian, row-major `content`. Raises BadTensor unless the length is exact."""
    if kind is DataType.DT_STRING:
        return _strings(_split_strings(content, math.prod(shape))).reshape(shape)
    storage = STORAGE[kind].dtype
    wanted = math.prod(shape) * storage.itemsize
    if len(content) != wanted:
        raise BadTensor(
            f"tensor_content has {len(content)} bytes, {kind.word} of shape {_text(shape)} needs {wanted}",
        )
    return _over(content, storage).reshape(shape)


def packed_to_array(kind: DataType, shape: tuple[int, ...], packed: Buffer, limits: Limits) -> Array:
    """Return an array over the packed values of an `exact` type, repeating the last one where some are missing."""
    return _fill(_over(packed, STORAGE[kind].dtype), kind, shape, limits)


def array_to_tensor(array: Array, dtype: DataType | None = None, *, as_content: bool = False) -> ProtoMessage:
    """Return `array` as a TensorProto: values in their typed field, or in tensor_content. Raises UnsupportedType."""
    return TensorProto.FromString(encode_tensor(array, dtype, as_content=as_content))


def encode_tensor(array: Array, dtype: DataType | None = None, *, as_content: bool = False) -> bytes:
    """Return the wire form of `array_to_tensor`; values whose bytes are exact are copied once. Raises BadTensor."""
    kind = type_of_array(array) if dtype is None else dtype
    storage = STORAGE[kind]
    head = b"\x08" + varint(kind) + length_delimited(2, encode_shape(array.shape))
    if kind is DataType.DT_STRING:
        return head + b"".join(length_delimited(8, _to_bytes(each)) for each in array.flat)
    values = np.ascontiguousarray(array, dtype=storage.dtype)
    if as_content:
        return head + length_delimited(4, values.tobytes())
    if storage.exact:
        return head + length_delimited(value_field(kind), values.tobytes())
    bits = values.view("<u2") if storage.field == "half_val" else values
    return bytes(head + TensorProto(**{storage.field: bits.ravel().tolist()}).SerializeToString())


def shape_of(message: ProtoMessage) -> tuple[int, ...]:
    """Return the dimensions of a TensorShapeProto that describes data. Raises BadTensor."""
    if message.unknown_rank:
        raise BadTensor("a tensor with values cannot have an unknown rank")
    shape = tuple(dim.size for dim in message.dim[: MAX_RANK + 1])
    if len(shape) > MAX_RANK:
        raise BadTensor(f"a tensor of rank {len(message.dim)} is more than rank {MAX_RANK}")
    if any(size < 0 for size in shape):
        raise BadTensor(f"shape {_text(shape)} has a negative dimension")
    if math.prod(size or 1 for size in shape) > 2**58:  # numpy counts bytes in 63 bits, zero dimensions left out
        raise BadTensor(f"shape {_text(shape)} has more elements than any memory")
    return shape


def dtype_word(number: int) -> str:
    """Return any of TensorFlow's type numbers as its messages spell it, also of types that cannot be sent."""
    value = TensorProto.DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_number.get(number)
    return str(value.name).removeprefix("DT_").lower() if value is not None else f"unknown type {number}"


def value_field(kind: DataType, *, as_content: bool = False) -> int:
    """Return the number of the TensorProto field that carries the values of a type."""
    name = "tensor_content" if as_content else STORAGE[kind].field
    return int(TensorProto.DESCRIPTOR.fields_by_name[name].number)


def varint(number: int) -> bytes:
    """Return a non-negative number as a protobuf varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def length_delimited(number: int, payload: Buffer) -> bytes:
    """Return a length-delimited protobuf field."""
    return b"".join((varint(number << 3 | 2), varint(len(payload)), payload))


def _shape(tensor: ProtoMessage) -> tuple[int, ...]:
    return shape_of(tensor.tensor_shape)


def _text(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _over(data: Buffer, dtype: np.dtype[np.generic]) -> Array:
    """Return an aligned array over `data`; engines read elements as machine words."""
    if dtype.kind == "b":
        flags: Array = np.frombuffer(data, np.uint8) != 0
        return flags
    array = np.frombuffer(data, dtype)
    return array if array.flags.aligned else array.copy()


def _typed_values(kind: DataType, tensor: ProtoMessage) -> Array:
    storage = STORAGE[kind]
    values = getattr(tensor, storage.field)
    if kind is DataType.DT_STRING:
        return _strings(list(values))
    if storage.field == "float8_val":
        return np.frombuffer(values, np.uint8)
    if storage.field == "half_val":
        return np.array(values, np.int32).astype(np.uint16).view(storage.dtype)
    if storage.dtype.kind == "c":
        part = np.array(values, np.float32 if storage.field == "scomplex_val" else np.float64)
        return part[: len(part) // 2 * 2].view(storage.dtype)
    if storage.field == "int_val":
        return np.array(values, np.int32).astype(storage.dtype, copy=False)  # wraps, as a C cast does
    return np.array(values, storage.dtype)


def _fill(values: Array, kind: DataType, shape: tuple[int, ...], limits: Limits) -> Array:
    """Shape `values`: surplus is ignored, missing ones repeat the last, none at all are zeros or empty strings."""
    wanted = math.prod(shape)
    if len(values) >= wanted:
        return values[:wanted].reshape(shape)
    needed = wanted * values.dtype.itemsize
    if needed > limits.max_expanded_bytes:
        raise BadTensor(
            f"{len(values)} values would fill shape {_text(shape)}: {needed} bytes, at most {limits.max_expanded_bytes}"
        )
    filled: Array = np.empty(wanted, values.dtype)
    filled[: len(values)] = values
    empty: object = b"" if kind is DataType.DT_STRING else 0
    filled[len(values) :] = values[-1] if len(values) else empty
    return filled.reshape(shape)


def _strings(values: list[bytes]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _split_strings(content: Buffer, count: int) -> list[bytes]:
    """Split DT_STRING content: all lengths as varints, then all bytes (TensorFlow's EncodeStringList)."""
    lengths, position, data = [], 0, bytes(content)
    if count > len(data):
        raise BadTensor(f"tensor_content of {len(data)} bytes cannot hold {count} strings")
    for _ in range(count):
        length, position = _read_varint(data, position)
        lengths.append(length)
    if position + sum(lengths) != len(data):
        raise BadTensor(f"the strings of tensor_content have {sum(lengths)} bytes, {len(data) - position} are there")
    result = []
    for length in lengths:
        result.append(data[position : position + length])
        position += length
    return result


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if position >= len(data) or shift > 28:
            raise BadTensor("a string's length in tensor_content is cut off or too large")
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, position


def encode_shape(shape: tuple[int, ...]) -> bytes:
    """Return a TensorShapeProto."""
    return b"".join(length_delimited(2, b"\x08" + varint(size) if size else b"") for size in shape)


def _to_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    raise BadTensor(f"a string tensor holds a {type(value).__name__}")
