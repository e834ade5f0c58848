"""Whatever is written comes back, whoever wrote it; whatever else is read ends in a record's typed error."""

import base64
import io
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from strongroom.clusterserving import arrow_request, arrow_wire, raw
from strongroom.clusterserving.arrow_request import decode_inputs, encode_inputs
from strongroom.clusterserving.arrow_result import decode_result, encode_result
from strongroom.clusterserving.faults import ServingError
from strongroom.clusterserving.filters import MAX_K, BadFilter, Filter
from strongroom.clusterserving.instances import parse_instances
from strongroom.clusterserving.record import read_record, read_result, request_fields, result_fields
from strongroom.clusterserving.values import Image, Record, Sparse, Strings

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "cluster_serving_arrow.json").read_text("utf-8"))
EXAMPLES = [base64.b64decode(each["base64"]) for each in VECTORS.values()]
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
FLOATS = SHAPES.flatmap(lambda shape: hnp.arrays(np.float32, shape))
ARRAYS = st.tuples(st.sampled_from(sorted(raw.DTYPES)), SHAPES).flatmap(lambda kind: hnp.arrays(*kind))
TEXTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="|"), max_size=5), min_size=2, max_size=4)
IMAGES = st.binary(max_size=20).map(Image)


@st.composite
def sparses(draw):
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple))
    places = draw(st.lists(st.integers(0, int(np.prod(shape)) - 1), unique=True, max_size=5))
    indices = np.array(np.unravel_index(np.array(places, np.intp), shape), np.int32).T.reshape(len(places), len(shape))
    return Sparse(indices, draw(hnp.arrays(np.float32, len(places))), shape)


@st.composite
def mutated(draw, examples):
    data = bytearray(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data) - 1))
        patch = draw(
            st.sampled_from([b"\0", b"\xff", b"\1", bytes(4), b"\xff" * 4, bytes(8), b"\xff" * 8, b"\0\0\0\0\0\1\0\0"])
        )
        data[at : at + len(patch)] = patch
    return bytes(data[: draw(st.integers(1, len(data)))] if draw(st.booleans()) else data)


def same(found, wanted):
    if isinstance(wanted, Sparse):
        return (found.indices.tobytes(), found.values.tobytes(), found.shape) == (
            wanted.indices.tobytes(), wanted.values.tobytes(), wanted.shape
        )  # fmt: skip
    if isinstance(wanted, np.ndarray):
        return (found.dtype, found.shape, found.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())
    return found == wanted


def stored(fields):
    return {name.encode(): value if isinstance(value, bytes) else value.encode() for name, value in fields.items()}


def refused_or(parse, *given):
    """Return what is read, or None where it is refused as it must be; another exception is the test's failure."""
    try:
        return parse(*given)
    except ServingError:
        return None


@given(
    st.dictionaries(
        NAMES, FLOATS | sparses() | IMAGES | TEXTS.map(lambda texts: Strings(tuple(texts))), min_size=1, max_size=4
    )
)
def test_arrow_requests_come_back(inputs):
    data = encode_inputs(inputs)
    found = decode_inputs(data)
    assert list(found) == list(inputs)
    assert all(same(found[name], inputs[name]) for name in inputs)
    with pa.ipc.open_stream(data) as reader:
        reader.read_next_batch().validate(full=True)


@given(st.lists(st.lists(hnp.arrays(np.float32, st.integers(0, 5)), max_size=3), min_size=1, max_size=4), st.booleans())
def test_lists_of_any_rows_are_joined_as_pyarrow_joins_them(rows, nulls):
    """A reader takes the values of all rows; which row holds which is the writer's affair."""
    lists = [None if nulls and not row else [float(each) for part in row for each in part] for row in rows]
    count = sum(len(each or []) for each in lists)
    structs = [{"data": each, "shape": [count] if row == 0 else None} for row, each in enumerate(lists)]
    kind = pa.struct([("data", pa.list_(pa.float32())), ("shape", pa.list_(pa.int32()))])
    batch = pa.RecordBatch.from_arrays([pa.array(structs, kind)], names=["t"])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    wanted = np.array([each for row in lists for each in row or []], np.float32)
    assert same(decode_inputs(sink.getvalue())["t"], wanted)


@given(st.lists(FLOATS, max_size=4))
def test_arrow_results_come_back(outputs):
    found = decode_result(encode_result(outputs), shapes=[each.shape for each in outputs])
    assert all(same(*pair) for pair in zip(found, outputs, strict=True))


@given(
    st.dictionaries(
        NAMES,
        ARRAYS
        | sparses()
        | IMAGES
        | st.lists(st.text(st.characters(codec="utf-8"))).map(lambda texts: Strings(tuple(texts))),
        min_size=1,
        max_size=4,
    )
)
def test_raw_inputs_come_back(inputs):
    for found in (raw.from_bytes(raw.to_bytes(inputs)), raw.from_fields(stored(raw.to_fields(inputs)))):
        assert list(found) == list(inputs)
        assert all(same(found[name], inputs[name]) for name in inputs)


@given(st.dictionaries(NAMES, ARRAYS, max_size=3), st.booleans())
def test_results_come_back(outputs, accept_raw):
    record = Record(entry_id="1-0", uri="u", instances=(), accept_raw=accept_raw)
    found = read_result("u", stored(result_fields(record, ts_ms=1, outputs=outputs)))
    if accept_raw and not outputs:
        return
    assert list(found.outputs) == list(outputs)
    for name, array in outputs.items():
        with np.errstate(invalid="ignore", over="ignore"):
            wanted = array if accept_raw else array.astype(np.float32).astype(array.dtype)
        assert same(found.outputs[name], wanted)


@given(st.dictionaries(NAMES, FLOATS, min_size=1, max_size=3), st.sampled_from([None, "raw"]))
def test_records_come_back(inputs, serde):
    (found,) = read_record("1-0", stored(request_fields("u", inputs, serde=serde))).instances
    assert all(same(found[name], inputs[name]) for name in inputs)


@given(mutated(EXAMPLES))
@settings(max_examples=4 * settings.default.max_examples)
def test_changed_examples_are_read_as_pyarrow_reads_them_or_refused(data):
    refused_or(decode_result, data)
    found = refused_or(decode_inputs, data)
    tensors = [each for each in (found or {}).values() if isinstance(each, np.ndarray)]
    if not tensors:
        return
    try:
        with pa.ipc.open_stream(data) as reader:
            batch = reader.read_next_batch()
            batch.validate(full=True)
    except (pa.ArrowException, ValueError, OSError):  # it checks flatbuffers more closely
        return
    for column in batch.columns:
        if pa.types.is_struct(column.type) and not column.null_count:
            values = [each for row in column.to_pylist() for each in row.get("data") or []]
            assert np.array_equal(tensors[0].ravel(), np.array(values, np.float32), equal_nan=True)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data):
    for parse in (decode_inputs, decode_result, raw.from_bytes, raw.arrays_from_bytes, parse_instances):
        refused_or(parse, data)


@given(
    mutated(
        [
            raw.to_bytes({"a": np.arange(3), "b": Strings(("x", "y")), "c": Image(b"z")}),
            raw.to_bytes({"s": Sparse(np.array([[1]]), np.array([1.0]), (2,))}),
        ]
    )
)
def test_changed_containers_are_read_or_refused(data):
    refused_or(raw.from_bytes, data)
    refused_or(raw.arrays_from_bytes, data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["/9j/", "YQ=="]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["shape", "data", "indices", "b64", "x"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(NAMES, JSON, max_size=3), max_size=3))
def test_any_instances_are_read_or_refused(instances):
    found = refused_or(parse_instances, json.dumps({"instances": instances}))
    assert found is None or [list(each) for each in found] == [list(each) for each in instances]


@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(max_dims=4, max_side=4, min_side=0), elements=st.floats(-1e6, 1e6, width=32)
    )
)
def test_lists_of_numbers_come_back(array):
    ((found,),) = (each.values() for each in parse_instances(json.dumps({"instances": [{"x": array.tolist()}]})))
    assert found.tobytes() == array.tobytes()


WORDS = [b"uri", b"data", b"serde", b"reply", b"deadline", b"accept", b"kid", b"d:t", b"m:t", b"m:\xff", b"value",
         b"code", b"message", b"id", b"ts", b"shapes", b"names", b"dtype"]  # fmt: skip
VALUES = [b"u", b"raw", b"stream", b"", b"NaN", b"[[1]]", b'["a"]', b"int8", b"AAAA", b'{"dtype":"int8","shape":[1]}',
          b'{"instances":[{"t":1}]}', *(base64.b64encode(each) for each in EXAMPLES)]  # fmt: skip
FIELDS = st.dictionaries(st.sampled_from(WORDS), st.binary(max_size=30) | st.sampled_from(VALUES))


@given(FIELDS)
@settings(max_examples=3 * settings.default.max_examples)
def test_any_fields_are_read_or_refused(fields):
    refused_or(lambda: read_record("1-0", fields))
    refused_or(lambda: read_result("u", fields))


@given(st.text(max_size=20))
def test_any_text_is_a_filter_or_is_not(text):
    with suppress(BadFilter):
        assert Filter.parse(text).k <= MAX_K


@given(FLOATS, st.integers(1, 6))
def test_every_top_n_json_is_json_in_order(array, k):
    pairs = json.loads(Filter.parse(f"topN.json({k})").apply([array]))
    assert len(pairs) == min(k, array.size)
    values = [value for _, value in pairs if value is not None]
    finite = [value for value in values if abs(value) < 1e38]
    assert finite == sorted(finite, reverse=True)


def shown(data):
    found = refused_or(decode_inputs, data)
    return None if found is None else {name: repr(value) for name, value in found.items()}


@given(mutated(EXAMPLES[:3]) | st.dictionaries(NAMES, FLOATS, min_size=1, max_size=3).map(encode_inputs))
@settings(max_examples=4 * settings.default.max_examples, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_short_way_for_usual_records_reads_what_the_long_one_reads(monkeypatch, data):
    short = shown(data)
    with monkeypatch.context() as patched:
        patched.setattr(arrow_request, "usual_tensor", lambda *_: None)
        patched.setattr(arrow_wire, "usual_batch", lambda *_: (None, 0))
        assert shown(data) == short
