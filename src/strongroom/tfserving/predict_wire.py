"""PredictRequest from raw bytes without copying its tensors, PredictResponse to raw bytes.

Large requests are walked by hand: the usual fields, in any order, once each; tensor contents stay views of the
request. Whatever is unusual (a repeated field, unpacked values, another type, a malformed length) goes to protobuf,
which decides what it means, so both ways agree on every message. Source: spec `serving-performance.md` section 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from google.protobuf.message import DecodeError

from strongroom.errors import BadInput
from strongroom.tfserving.datatypes import STORAGE, Array, DataType, type_of_number
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.messages import ModelSpec, PredictRequest, TensorProto, TensorShapeProto, parse
from strongroom.tfserving.tensors import (
    Limits,
    content_to_array,
    encode_tensor,
    length_delimited,
    packed_to_array,
    shape_of,
    tensor_to_array,
)

WALK_FROM_BYTES: Final = 4096  # below, protobuf alone is faster
MAX_WALKED_FIELDS: Final = 1024  # of a request; one with more is for the library, which reads each much faster
_LENGTH_DELIMITED: Final = 2
_CONTENT: Final = 4  # tensor_content
_PACKED: Final = {5: "float_val", 6: "double_val"}  # fields whose packed wire bytes are the values
_FIELDS: Final = {"float_val": 5, "double_val": 6}


class _Unusual(Exception):  # never leaves this module
    """The bytes are not in the form that is walked by hand; protobuf decides."""


@dataclass(frozen=True, slots=True)
class WireTensor:
    """A tensor that was not decoded yet: its TensorFlow type number, and how to get the array."""

    dtype: int
    _decode: Callable[[Limits], Array]

    def array(self, limits: Limits) -> Array:
        """Decode. Raises BadTensor or UnsupportedType."""
        return self._decode(limits)


class Memo:
    """What requests of one form share: the types of their inputs, and what the dataplane found out about them."""

    __slots__ = ("checked", "kinds")

    def __init__(self, kinds: Mapping[str, DataType]) -> None:
        self.kinds = kinds
        self.checked: object = None


class PredictCall:
    """A PredictRequest: `model_spec` is None when it was not sent.

    `arrays` holds the inputs where they were decoded already, and `memo` is shared by requests that differ from each
    other in nothing but the values of these arrays.
    """

    __slots__ = ("_inputs", "arrays", "memo", "model_spec", "output_filter")

    def __init__(
        self,
        *,
        model_spec: ProtoMessage | None,
        output_filter: Sequence[str],
        inputs: Mapping[str, WireTensor] | None = None,
        arrays: dict[str, Array] | None = None,
        memo: Memo | None = None,
    ) -> None:
        self.model_spec, self.output_filter, self.arrays, self.memo = model_spec, output_filter, arrays, memo
        self._inputs = inputs

    @property
    def inputs(self) -> Mapping[str, WireTensor]:
        """The tensors by name."""
        if self._inputs is None:
            kinds = self.memo.kinds if self.memo is not None else {}
            arrays = self.arrays or {}
            self._inputs = {name: WireTensor(kind, partial(_as_it_is, arrays[name])) for name, kind in kinds.items()}
        return self._inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where an input's values lie in a request: its bytes are exactly those of an array of this type and shape."""

    name: str
    kind: DataType
    shape: tuple[int, ...]
    start: int
    stop: int


def parse_predict(data: bytes | memoryview) -> PredictCall:
    """Return a PredictRequest. Raises BadMessage."""
    if len(data) >= WALK_FROM_BYTES:
        try:
            return _walk_request(memoryview(data))
        except _Unusual:
            pass
    request = parse(PredictRequest, bytes(data))
    return PredictCall(
        model_spec=request.model_spec if request.HasField("model_spec") else None,
        inputs={name: _whole(tensor) for name, tensor in request.inputs.items()},
        output_filter=list(request.output_filter),
    )


def parse_and_locate(data: bytes | memoryview) -> tuple[PredictCall, Sequence[Span]]:
    """Return a PredictRequest, and where its values lie: a span for every input, or none at all. Raises BadMessage."""
    call = parse_predict(data)
    try:
        return call, _spans(memoryview(data))
    except (_Unusual, BadInput):  # another form, or one whose values do not fit its shape
        return call, ()


def _spans(data: memoryview) -> Sequence[Span]:
    """Locate the values of a request in the usual form. Raises _Unusual, BadTensor or UnsupportedType."""
    found: dict[str, Span] = {}
    for index, (number, start, stop) in enumerate(_positions(data, 0, len(data))):
        if index >= MAX_WALKED_FIELDS:
            raise _Unusual
        if number == 2:
            entry = list(_positions(data, start, stop))
            if [each[0] for each in entry] != [1, 2]:
                raise _Unusual
            name = _text(data[entry[0][1] : entry[0][2]])
            if name in found:
                raise _Unusual
            found[name] = _span(name, data, *entry[1][1:])
        elif number not in (1, 3):
            raise _Unusual
    return list(found.values())


def _span(name: str, data: memoryview, start: int, stop: int) -> Span:
    fields: dict[int, tuple[int, int]] = {}
    for number, begin, end in _positions(data, start, stop, scalar=1):
        if number in fields:
            raise _Unusual
        fields[number] = begin, end
    values = [number for number in fields if number not in (1, 2)]
    if len(values) != 1 or values[0] not in (_CONTENT, *_PACKED) or not {1, 2} <= fields.keys():
        raise _Unusual
    kind = type_of_number(_varint(data, fields[1][0])[0])
    storage = STORAGE[kind]
    if storage.dtype.kind in "Ob" or values[0] not in (_CONTENT, _FIELDS.get(storage.field)):
        raise _Unusual
    shape = shape_of(_message(TensorShapeProto, data[slice(*fields[2])]))
    begin, end = fields[values[0]]
    if begin == end or end - begin != math.prod(shape) * storage.dtype.itemsize:
        raise _Unusual
    return Span(name=name, kind=kind, shape=shape, start=begin, stop=end)


def encode_predict_response(outputs: Mapping[str, bytes], *, name: str, version: int, signature_name: str) -> bytes:
    """Return a PredictResponse around encoded tensors."""
    spec = ModelSpec(name=name, signature_name=signature_name)
    spec.version.value = version
    parts = [
        length_delimited(1, length_delimited(1, alias.encode()) + length_delimited(2, tensor))
        for alias, tensor in outputs.items()
    ]
    return b"".join([*parts, length_delimited(2, spec.SerializeToString())])


def encode_predict_request(inputs: Mapping[str, Array], model_spec: ProtoMessage, *, as_content: bool = True) -> bytes:
    """Return a PredictRequest for arrays; the client's side. Raises UnsupportedType or BadTensor."""
    parts = [length_delimited(1, model_spec.SerializeToString())]
    for alias, array in inputs.items():
        is_text = array.dtype.kind in "OSU"
        tensor = encode_tensor(array, as_content=as_content and not is_text)
        parts.append(length_delimited(2, length_delimited(1, alias.encode()) + length_delimited(2, tensor)))
    return b"".join(parts)


def _whole(tensor: ProtoMessage) -> WireTensor:
    return WireTensor(tensor.dtype, lambda limits: tensor_to_array(tensor, limits=limits))


def _walk_request(data: memoryview) -> PredictCall:
    spec, inputs, output_filter = None, {}, []
    for index, (number, payload) in enumerate(_fields(data)):
        if index >= MAX_WALKED_FIELDS:
            raise _Unusual
        if number == 1 and spec is None:
            spec = _message(ModelSpec, payload)
        elif number == 2:
            name, tensor = _walk_entry(payload)
            inputs[name] = tensor  # a name sent twice: the last one counts, as in any protobuf map
        elif number == 3:
            output_filter.append(_text(payload))
        else:
            raise _Unusual
    return PredictCall(model_spec=spec, inputs=inputs, output_filter=output_filter)


def _walk_entry(data: memoryview) -> tuple[str, WireTensor]:
    fields = list(_fields(data))
    if [number for number, _ in fields] != [1, 2]:
        raise _Unusual
    tensor = fields[1][1]
    try:
        return _text(fields[0][1]), _walk_tensor(tensor)
    except _Unusual:
        return _text(fields[0][1]), _whole(_message(TensorProto, tensor))


def _walk_tensor(data: memoryview) -> WireTensor:
    """Walk dtype, shape, and content or packed floats; each at most once."""
    dtype, shape, content, packed, seen = 0, None, None, None, set()
    for number, payload in _fields(data, scalar=1):
        if number in seen:
            raise _Unusual
        seen.add(number)
        if number == 1:
            dtype, _ = _varint(payload, 0)
        elif number == 2:
            shape = _message(TensorShapeProto, payload)
        elif number == 4:
            content = payload
        elif number in _PACKED:
            packed = number, payload
        else:
            raise _Unusual
    if dtype not in (1, 2) or shape is None or (not content and packed is None) or (content and packed):
        raise _Unusual
    return WireTensor(dtype, _decoder(dtype, shape, content, packed))


def _decoder(
    dtype: int, shape: ProtoMessage, content: memoryview | None, packed: tuple[int, memoryview] | None
) -> Callable[[Limits], Array]:
    kind = type_of_number(dtype)
    if content:
        return lambda _: content_to_array(kind, shape_of(shape), content)
    storage = STORAGE[kind]
    if packed is None or _PACKED[packed[0]] != storage.field or len(packed[1]) % storage.dtype.itemsize:
        raise _Unusual
    values = packed[1]
    return lambda limits: packed_to_array(kind, shape_of(shape), values, limits)


def _fields(data: memoryview, *, scalar: int = 0) -> Iterator[tuple[int, memoryview]]:
    """Yield number and payload of each field, as `_positions` does."""
    for number, start, stop in _positions(data, 0, len(data), scalar=scalar):
        yield number, data[start:stop]


def _positions(data: memoryview, position: int, end: int, *, scalar: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and stop of each field: length-delimited ones, and the varint field number `scalar`."""
    while position < end:
        tag, position = _varint(data, position)
        if tag == scalar << 3 and scalar:
            start = position
            _, position = _varint(data, position)
        elif tag & 7 != _LENGTH_DELIMITED or not tag >> 3:
            raise _Unusual
        else:
            length, start = _varint(data, position)
            position = start + length
        if position > end:
            raise _Unusual
        yield tag >> 3, start, position


def _as_it_is(array: Array, _limits: Limits) -> Array:
    return array


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    number = shift = 0
    while position < len(data) and shift < 35:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise _Unusual


def _message(message_class: ProtoMessage, payload: memoryview) -> ProtoMessage:
    try:
        return message_class.FromString(bytes(payload))
    except DecodeError:
        raise _Unusual from None


def _text(payload: memoryview) -> str:
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError:
        raise _Unusual from None
