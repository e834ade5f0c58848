"""Any array survives the wire and JSON; any bytes end in a value or one typed error; both request parsers agree."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import BadInput
from strongroom.tfserving import messages
from strongroom.tfserving.datatypes import STORAGE, DataType
from strongroom.tfserving.json_request import arrays_of, signature_name
from strongroom.tfserving.json_response import columns_text
from strongroom.tfserving.json_values import parse_body
from strongroom.tfserving.messages import BadMessage, PredictRequest, TensorProto
from strongroom.tfserving.predict_wire import (
    _Unusual,
    _walk_request,
    encode_predict_request,
    encode_predict_response,
    parse_and_locate,
    parse_predict,
)
from strongroom.tfserving.signatures import TensorSpec
from strongroom.tfserving.tensors import DEFAULT_LIMITS, Limits, encode_tensor, tensor_to_array

LIMITS = Limits(max_expanded_bytes=1 << 20)
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
JSON_KINDS = [
    DataType[f"DT_{name}"]
    for name in ("FLOAT", "DOUBLE", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT32", "UINT64", "BOOL")
]
NUMERIC = [kind for kind in DataType if kind is not DataType.DT_STRING]


@st.composite
def arrays(draw, kinds=NUMERIC):
    kind = draw(st.sampled_from(kinds))
    shape = draw(SHAPES)
    storage = STORAGE[kind].dtype
    size = int(np.prod(shape)) * storage.itemsize
    raw = draw(st.binary(min_size=size, max_size=size))
    flat = np.frombuffer(raw, np.uint8) % 2 == 1 if storage.kind == "b" else np.frombuffer(raw, storage)
    return kind, flat.reshape(shape)


@st.composite
def string_arrays(draw):
    shape = draw(SHAPES)
    count = int(np.prod(shape))
    array = np.empty(count, object)
    array[:] = draw(st.lists(st.binary(max_size=20), min_size=count, max_size=count))
    return array.reshape(shape)


@settings(deadline=None)
@given(arrays(), st.booleans())
def test_every_type_and_shape_survives_the_wire(case, as_content):
    kind, array = case
    back = tensor_to_array(TensorProto.FromString(encode_tensor(array, kind, as_content=as_content)))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@settings(deadline=None)
@given(string_arrays())
def test_strings_survive_the_wire(array):
    back = tensor_to_array(TensorProto.FromString(encode_tensor(array)))
    assert back.shape == array.shape
    assert back.tolist() == array.tolist()


@settings(deadline=None)
@given(arrays(JSON_KINDS))
def test_every_json_type_and_shape_survives_json(case):
    kind, array = case
    text = columns_text({"y": (kind, array)})
    body = parse_body(text.replace('"outputs"', '"inputs"', 1).encode())
    back = arrays_of(body, {"y": TensorSpec(name="y", dtype=kind, shape=None)})["y"]
    if 0 in array.shape[:-1]:
        assert back.size == 0  # JSON cannot say what follows an empty dimension
    else:
        assert back.shape == array.shape
    same = back.ravel() == array.ravel()
    assert np.all(same | (back.ravel() != back.ravel()))


def repeated(field, element):
    return st.fixed_dictionaries({field: st.lists(element, max_size=6)})


TENSORS = st.builds(
    lambda kind, dims, rank, values: TensorProto(
        dtype=kind, tensor_shape=messages.TensorShapeProto(
            dim=[messages.TensorShapeProto.Dim(size=size) for size in dims], unknown_rank=rank), **values),
    st.integers(-1, 40),
    st.lists(st.one_of(st.integers(-1, 5), st.integers(-(2**63), 2**63 - 1)), max_size=4),
    st.sampled_from([False, False, False, True]),
    st.one_of(
        st.fixed_dictionaries({"tensor_content": st.binary(max_size=40)}),
        repeated("float_val", st.floats(width=32)),
        repeated("double_val", st.floats()),
        repeated("int_val", st.integers(-(2**31), 2**31 - 1)),
        repeated("half_val", st.integers(-(2**31), 2**31 - 1)),
        repeated("string_val", st.binary(max_size=5)),
        repeated("bool_val", st.booleans()),
        repeated("scomplex_val", st.floats(width=32)),
        st.fixed_dictionaries({"float8_val": st.binary(max_size=6)}),
    ),
)  # fmt: skip


@settings(deadline=None)
@given(TENSORS)
def test_every_tensor_message_is_an_array_or_a_typed_error(tensor):
    try:
        array = tensor_to_array(tensor, limits=LIMITS)
    except BadInput:
        return
    assert array.shape == tuple(dim.size for dim in tensor.tensor_shape.dim)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_every_bytes_are_a_request_or_a_typed_error(data):
    try:
        call = parse_predict(data)
    except BadMessage:
        return
    for tensor in call.inputs.values():
        try:
            tensor.array(LIMITS)
        except BadInput:
            continue


def outcome(tensor):
    try:
        array = tensor.array(LIMITS)
    except BadInput as problem:
        return type(problem)
    return str(array.dtype), array.shape, array.tobytes() if array.dtype.kind != "O" else array.tolist()


def agree(data):
    """Whatever the hand-written walk accepts, protobuf reads the same way."""
    try:
        walked = _walk_request(memoryview(data))
    except _Unusual:
        return False
    parsed = PredictRequest.FromString(data)
    assert (walked.model_spec is not None) == parsed.HasField("model_spec")
    assert walked.model_spec is None or walked.model_spec == parsed.model_spec
    assert list(walked.output_filter) == list(parsed.output_filter)
    assert set(walked.inputs) == set(parsed.inputs)
    ours = {name: (tensor.dtype, outcome(tensor)) for name, tensor in walked.inputs.items()}
    small = parse_predict(data)  # below the walking size: protobuf
    assert ours == {name: (tensor.dtype, outcome(tensor)) for name, tensor in small.inputs.items()}
    return True


REQUESTS = st.builds(
    lambda name, inputs, output_filter: PredictRequest(
        model_spec=messages.ModelSpec(name=name), inputs=inputs, output_filter=output_filter
    ),
    st.text(max_size=5),
    st.dictionaries(st.text(max_size=3), TENSORS, max_size=3),
    st.lists(st.text(max_size=3), max_size=2),
)


@settings(deadline=None)
@given(REQUESTS)
def test_both_parsers_read_every_message_alike(request_message):
    agree(request_message.SerializeToString())


@settings(deadline=None)
@given(REQUESTS, st.data())
def test_both_parsers_read_every_damaged_message_alike(request_message, data):
    raw = bytearray(request_message.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        if raw:
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    agree(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_both_parsers_read_any_bytes_alike(data):
    agree(data)


@pytest.mark.parametrize(
    "data",
    [b"\x8a\x80\x80\x80\x00\x01a", b"\x1a\x81\x80\x80\x80\x00a", b"\x0a\x00\x0a\x00", b"\x12\x04\x0a\x00\x12\x00",
     b"\x12\x06\x0a\x00\x12\x02\x08\x81"],
)  # fmt: skip
def test_both_parsers_read_odd_encodings_alike(data):
    try:
        PredictRequest.FromString(data)
    except Exception:  # noqa: BLE001  # protobuf refuses: the walk must not accept
        with pytest.raises(_Unusual):
            _walk_request(memoryview(data))
        return
    agree(data)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=4), arrays().map(lambda case: case[1]), max_size=3), st.booleans())
def test_large_requests_are_walked_and_equal(inputs, as_content):
    inputs = {**inputs, "large": np.arange(2000, dtype=np.float32)}
    raw = encode_predict_request(inputs, messages.ModelSpec(name="m"), as_content=as_content)
    call = parse_predict(raw)
    parsed = PredictRequest.FromString(raw)
    assert call.model_spec.name == "m"
    for name, tensor in call.inputs.items():
        assert tensor.array(DEFAULT_LIMITS).tobytes() == tensor_to_array(parsed.inputs[name]).tobytes()


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=4), arrays(), max_size=3), st.integers(0, 2**63 - 1), st.text(max_size=5))
def test_responses_are_what_protobuf_reads(outputs, version, name):
    encoded = {key: encode_tensor(array, kind) for key, (kind, array) in outputs.items()}
    raw = encode_predict_response(encoded, name=name, version=version, signature_name="s")
    response = messages.PredictResponse.FromString(raw)
    assert (response.model_spec.name, response.model_spec.version.value) == (name, version)
    assert response.model_spec.signature_name == "s"
    assert {key: tensor_to_array(value).tobytes() for key, value in response.outputs.items()} == {
        key: array.tobytes() for key, (_, array) in outputs.items()
    }


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["instances", "inputs", "x", "b64", "signature_name"]), inner, max_size=3),
    ),
    max_leaves=12,
)
ALL_KINDS = [
    {"x": TensorSpec(name="x", dtype=kind, shape=None)}
    for kind in (DataType.DT_FLOAT, DataType.DT_INT32, DataType.DT_STRING, DataType.DT_HALF, DataType.DT_BOOL)
]


def read(body, specs):
    try:
        parsed = parse_body(body)
        signature_name(parsed)
        arrays_of(parsed, specs)
    except BadInput as problem:
        assert problem.sentence


@settings(deadline=None)
@given(JSON, st.sampled_from(ALL_KINDS))
def test_every_json_value_is_arrays_or_a_typed_error(value, specs):
    read(json.dumps({"instances": value}).encode(), specs)
    read(json.dumps({"inputs": value}).encode(), specs)
    read(json.dumps(value).encode(), specs)


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from(ALL_KINDS))
def test_every_body_is_arrays_or_a_typed_error(body, specs):
    read(body, specs)


@settings(deadline=None)
@given(st.floats(width=32))
def test_float_text_reads_back(number):
    text = columns_text({"y": (DataType.DT_FLOAT, np.array([number], np.float32))})
    back = np.float32(parse_body(text.encode())["outputs"][0])
    assert struct.pack("f", back) == struct.pack("f", number) or back != back  # noqa: PLR0124  # NaN


@pytest.mark.parametrize("what", ["inputs", "output_filter"])
def test_sv_12_a_request_of_very_many_fields_is_left_to_the_library(what):
    request = PredictRequest()
    request.model_spec.name = "m"
    for number in range(3000):
        if what == "inputs":
            request.inputs[f"x{number}"].dtype = 1
        else:
            request.output_filter.append(f"y{number}")
    data = request.SerializeToString()
    with pytest.raises(_Unusual):
        _walk_request(memoryview(data))
    call, spans = parse_and_locate(data)
    assert len(call.inputs) + len(call.output_filter) == 3000
    assert spans == ()
