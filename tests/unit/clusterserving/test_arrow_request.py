"""Requests in the original's Arrow form: the spec's examples both ways, other writers, and what is refused."""

import base64
import hashlib
import struct
import sys
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from strongroom.clusterserving.arrow_request import ArrowMissing, as_input, decode_inputs, encode_inputs
from strongroom.clusterserving.faults import BadImage, BadRecord, ServingError, TooLarge
from strongroom.clusterserving.limits import Limits
from strongroom.clusterserving.values import Image, Sparse, Strings

DENSE = np.array([1, 2, 3, 4], np.float32)
SPARSE = [np.array([[0, 1], [2, 0]]), np.array([5.0, 6.0]), np.array([3, 2])]
FOUR_ROWS = [
    {"indiceData": []},
    {"indiceShape": []},
    {"data": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]},
    {"shape": [2, 3]},
]
PYARROW_26 = pa.__version__.startswith("26.")


def batch(**columns):
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def columns_of(data):
    with pa.ipc.open_stream(data) as reader:
        found = reader.read_next_batch()
    found.validate(full=True)
    return found


@pytest.mark.parametrize("name", ["dense", "sparse", "strings"])
def test_the_examples_of_the_spec_are_the_bytes_it_names(arrow_vectors, name):
    data, sha256 = arrow_vectors[name]
    assert hashlib.sha256(data).hexdigest() == sha256


def test_example_a_is_read_and_written(arrow_vectors):
    data, _ = arrow_vectors["dense"]
    (tensor,) = decode_inputs(data).values()
    assert (tensor.dtype, tensor.shape, tensor.tolist()) == (np.float32, (4,), [1, 2, 3, 4])
    assert columns_of(encode_inputs({"t": DENSE})).equals(columns_of(data))


def test_example_b_is_read_and_written(arrow_vectors):
    data, _ = arrow_vectors["sparse"]
    (tensor,) = decode_inputs(data).values()
    assert isinstance(tensor, Sparse)
    assert (tensor.indices.tolist(), tensor.values.tolist(), tensor.shape) == ([[0, 1], [2, 0]], [5, 6], (3, 2))
    assert columns_of(encode_inputs({"s": SPARSE})).equals(columns_of(data))


def test_example_c_is_read_and_written(arrow_vectors):
    data, _ = arrow_vectors["strings"]
    assert decode_inputs(data) == {"w": Strings(("a", "b"))}
    assert columns_of(encode_inputs({"w": ["a", "b"]})).equals(columns_of(data))


@pytest.mark.skipif(not PYARROW_26, reason="other versions of pyarrow spell schemas in other bytes")
@pytest.mark.parametrize(("name", "inputs"), [("dense", {"t": DENSE}), ("sparse", {"s": SPARSE})])
def test_with_pyarrow_26_the_bytes_are_those_of_the_spec(arrow_vectors, name, inputs):
    assert encode_inputs(inputs) == arrow_vectors[name][0]


@pytest.mark.skipif(not PYARROW_26, reason="other versions of pyarrow spell schemas in other bytes")
def test_with_pyarrow_26_the_text_example_is_that_of_the_spec(arrow_vectors):
    assert encode_inputs({"w": ["a", "b"]}) == arrow_vectors["strings"][0]


def test_pyarrow_itself_writes_what_we_write(arrow_stream, tensor_column):
    written = arrow_stream(batch(t=tensor_column(FOUR_ROWS)))
    ours = encode_inputs({"t": np.array([[1, 2, 3], [4, 5, 6]])})
    assert columns_of(ours).equals(columns_of(written))
    assert not PYARROW_26 or ours == written


def test_columns_keep_their_order_and_may_be_of_several_kinds():
    image = b"\xff\xd8\xff\xe0jpeg"
    data = encode_inputs({"z": DENSE, "a": Image(image), "m": ["x", "y"], "s": SPARSE})
    found = decode_inputs(data)
    assert list(found) == ["z", "a", "m", "s"]
    assert found["a"] == Image(image)
    assert found["m"] == Strings(("x", "y"))
    assert columns_of(data).num_rows == 4


@pytest.mark.parametrize("order", [("shape", "data", "indiceShape", "indiceData"), ("data", "shape")])
@pytest.mark.parametrize("item", ["item", "", "$data$"])
def test_children_are_found_by_name_and_items_by_position(arrow_stream, tensor_column, order, item):
    rows = [{name: row[name] for name in row if name in order} for row in FOUR_ROWS]
    data = arrow_stream(batch(t=tensor_column(rows, order=order, item=item)))
    assert decode_inputs(data)["t"].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_the_jvm_writers_row_for_each_value_is_read(arrow_stream, tensor_column):
    rows = [{"shape": [size], "data": [value]} for size, value in ((2, 1.0), (3, 2.0))]
    rows += [{"shape": [], "data": [value]} for value in (3.0, 4.0)] + [{"data": [5.0]}, {"data": [6.0]}]
    data = arrow_stream(batch(t=tensor_column(rows)))
    assert decode_inputs(data)["t"].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_many_rows_are_read_too(arrow_stream, tensor_column):
    rows = [{"data": [float(value)], "shape": [1000] if value == 0 else None} for value in range(1000)]
    data = arrow_stream(batch(t=tensor_column(rows)))
    assert decode_inputs(data)["t"].tolist() == list(range(1000))


def test_one_row_with_all_children_is_read(arrow_stream, tensor_column):
    rows = [{"indiceData": [0, 1, 2, 0], "indiceShape": [2, 2], "data": [5.0, 6.0], "shape": [3, 2]}]
    found = decode_inputs(arrow_stream(batch(s=tensor_column(rows))))["s"]
    assert (found.indices.tolist(), found.shape) == ([[0, 1], [2, 0]], (3, 2))


def test_what_lies_under_a_null_is_not_read(arrow_stream):
    """A null list may have values in its buffers: they are not the record's."""
    offsets, bits = pa.py_buffer(struct.pack("<5i", 0, 2, 4, 6, 6)), pa.py_buffer(b"\x05")
    values = pa.array([1, 2, 9, 9, 3, 4], pa.float32())
    floats = pa.ListArray.from_buffers(pa.list_(pa.float32()), 4, [bits, offsets], children=[values])
    shape = pa.array([None, None, None, [4]], pa.list_(pa.int32()))
    data = arrow_stream(batch(t=pa.StructArray.from_arrays([floats, shape], ["data", "shape"])))
    assert decode_inputs(data)["t"].tolist() == [1, 2, 3, 4]


def test_whole_numbers_become_float32(arrow_stream, tensor_column):
    rows = [{"data": [1, 2], "shape": [2]}]
    found = decode_inputs(arrow_stream(batch(t=tensor_column(rows, data=pa.int32()))))["t"]
    assert (found.dtype, found.tolist()) == (np.float32, [1, 2])


@pytest.mark.parametrize("kind", [pa.string(), pa.binary()])
def test_a_tensor_of_texts_is_read(arrow_stream, tensor_column, kind):
    rows = [{"data": ["a", "b|c"] if kind == pa.string() else [b"a", b"b|c"], "shape": [2]}]
    assert decode_inputs(arrow_stream(batch(t=tensor_column(rows, data=kind))))["t"] == Strings(("a", "b|c"))


def test_plain_columns_are_scalars_and_images(arrow_stream):
    data = arrow_stream(
        batch(
            i=pa.array([7, 8], pa.int32()),
            f=pa.array([1.5, 0], pa.float32()),
            b=pa.array([b"jpeg", None]),
            s=pa.array(["anBlZw==", None]),
        )
    )
    found = decode_inputs(data)
    assert (found["i"].tolist(), found["f"].tolist()) == ([7.0], [1.5])
    assert (found["b"], found["s"]) == (Image(b"jpeg"), Image(b"jpeg"))


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1, 1), (1, 2, 3, 4)])
def test_every_shape_comes_back(shape):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    found = decode_inputs(encode_inputs({"t": array}))["t"]
    assert found.shape == shape
    assert found.tolist() == array.tolist()


def test_not_a_number_and_infinity_are_numbers():
    found = decode_inputs(encode_inputs({"t": np.array([np.nan, np.inf, -np.inf])}))["t"]
    assert np.isnan(found[0])
    assert found[1:].tolist() == [np.inf, -np.inf]


def test_arrays_of_other_types_and_orders_are_sent_as_float32():
    for array in (np.arange(6, dtype=np.int64).reshape(2, 3).T, np.array([True, False]), np.ones((4, 4), "f2")[::2]):
        assert decode_inputs(encode_inputs({"t": array}))["t"].tolist() == array.astype(np.float32).tolist()


def test_arrays_are_views_of_the_record():
    data = encode_inputs({"t": np.zeros(1000, np.float32)})
    assert not decode_inputs(data)["t"].flags.owndata


@pytest.mark.parametrize("value", [None, [], ["a", 1], [DENSE, DENSE], {"path": "x"}, {"b64": 1}, object(), "a path"])
def test_values_without_a_form_are_refused_before_they_are_sent(value):
    with pytest.raises(BadRecord) as caught:
        encode_inputs({"t": value})
    assert caught.value.code == "SR-QUEUE-BAD-RECORD"


@pytest.mark.parametrize("texts", [["alone"], ["a|b", "c"]])
def test_texts_that_the_form_cannot_tell_apart_are_refused(texts):
    with pytest.raises(BadRecord, match="no way to send"):
        encode_inputs({"t": texts})


def test_a_record_without_inputs_or_with_an_array_of_objects_is_refused():
    with pytest.raises(BadRecord):
        encode_inputs({})
    with pytest.raises(BadRecord):
        encode_inputs({"t": np.array(["a"], object)})


def test_an_image_in_bad_base64_is_a_bad_image(arrow_stream):
    with pytest.raises(BadImage) as caught:
        decode_inputs(arrow_stream(batch(i=pa.array(["not base64!"]))))
    assert caught.value.code == "SR-QUEUE-BAD-IMAGE"
    with pytest.raises(BadImage):
        as_input("i", {"b64": "YQ"})
    assert as_input("i", {"b64": base64.b64encode(b"x").decode()}) == Image(b"x")


def test_without_pyarrow_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ArrowMissing) as caught:
        encode_inputs({"a name that no other test has": DENSE})
    assert caught.value.code == "SR-QUEUE-ARROW"
    assert "strongroom[streaming]" in caught.value.fix


SPARSES = {
    "counts that differ": {"indiceData": [0, 1, 2], "indiceShape": [2, 2], "data": [5.0, 6.0], "shape": [3, 2]},
    "three dimensions of indices": {"indiceData": [0, 1], "indiceShape": [1, 1, 2], "data": [5.0], "shape": [3, 2]},
    "a negative count": {"indiceData": [0, 1], "indiceShape": [-1, -2], "data": [5.0], "shape": [3, 2]},
    "more values than indices": {"indiceData": [0, 1], "indiceShape": [1, 2], "data": [5.0, 6.0], "shape": [3, 2]},
    "another rank": {"indiceData": [0, 1], "indiceShape": [1, 2], "data": [5.0], "shape": [3, 2, 1]},
    "an index beyond": {"indiceData": [0, 2], "indiceShape": [1, 2], "data": [5.0], "shape": [3, 2]},
    "a negative index": {"indiceData": [-1, 0], "indiceShape": [1, 2], "data": [5.0], "shape": [3, 2]},
    "an index twice": {"indiceData": [0, 1, 0, 1], "indiceShape": [2, 2], "data": [5.0, 6.0], "shape": [3, 2]},
    "a negative dimension": {"indiceData": [0, 1], "indiceShape": [1, 2], "data": [5.0], "shape": [-3, -2]},
    "indices without their shape": {"indiceData": [0, 1], "indiceShape": [], "data": [5.0], "shape": [1]},
}


@pytest.mark.parametrize("row", SPARSES.values(), ids=SPARSES.keys())
def test_a_sparse_tensor_that_does_not_fit_is_refused(arrow_stream, tensor_column, row):
    with pytest.raises(BadRecord):
        decode_inputs(arrow_stream(batch(s=tensor_column([row]))))


def test_a_sparse_tensor_that_is_dense_beyond_the_limit_is_refused(arrow_stream, tensor_column):
    row = {"indiceData": [0, 1], "indiceShape": [1, 2], "data": [5.0], "shape": [1 << 30, 1 << 30]}
    with pytest.raises(TooLarge) as caught:
        decode_inputs(arrow_stream(batch(s=tensor_column([row]))))
    assert caught.value.code == "SR-QUEUE-TOO-LARGE"


TENSORS = {
    "too few values": [{"data": [1.0], "shape": [2]}],
    "too many values": [{"data": [1.0, 2.0, 3.0], "shape": [2]}],
    "two negative dimensions": [{"data": [1.0], "shape": [-1, -1]}],
    "nine dimensions": [{"data": [1.0], "shape": [1] * 9}],
    "a null value": [{"data": [1.0, None], "shape": [2]}],
    "a null dimension": [{"data": [1.0], "shape": [None]}],
    "no rows": [],
}


@pytest.mark.parametrize("rows", TENSORS.values(), ids=TENSORS.keys())
def test_a_tensor_that_does_not_fit_its_shape_is_refused(arrow_stream, tensor_column, rows):
    with pytest.raises(BadRecord):
        decode_inputs(arrow_stream(batch(t=tensor_column(rows))))


def refused_columns():
    dense = pa.array(
        [{"data": [1.0], "shape": [1]}], pa.struct([("data", pa.list_(pa.float32())), ("shape", pa.list_(pa.int32()))])
    )
    data = pa.array([[1.0]], pa.list_(pa.float32()))
    yield "int64", pa.array([1])
    yield "double", pa.array([1.5])
    yield "unsigned", pa.array([1], pa.uint32())
    yield "bool", pa.array([True])
    yield "null", pa.nulls(1)
    yield "a date", pa.array([1], pa.date32())
    yield "a list", data
    yield "large text", pa.array(["a"], pa.large_string())
    yield "a dictionary", pa.array(["a", "a"]).dictionary_encode()
    yield "a union", pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])])
    yield (
        "an extension",
        pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.float32(), [1]), pa.array([[1.0]], pa.list_(pa.float32(), 1))
        ),
    )
    yield "a null text", pa.array([None], pa.string())
    yield "a null number", pa.array([None], pa.int32())
    yield "no text at all", pa.array([], pa.string())
    yield "a struct without a shape", pa.StructArray.from_arrays([data], ["data"])
    yield "a struct with a stranger", pa.StructArray.from_arrays([data, data], ["data", "other"])
    yield "a struct with data twice", pa.StructArray.from_arrays([data, data], ["data", "data"])
    yield "a shape of floats", pa.StructArray.from_arrays([data, data], ["data", "shape"])
    yield "a struct in a struct", pa.StructArray.from_arrays([dense], ["data"])
    yield (
        "text that is not UTF-8",
        pa.StringArray.from_buffers(1, pa.py_buffer(struct.pack("<2i", 0, 3)), pa.py_buffer(b"\xff|a")),
    )


@pytest.mark.parametrize("column", [pytest.param(column, id=name) for name, column in refused_columns()])
def test_other_types_of_arrow_are_refused(arrow_stream, column):
    with pytest.raises(ServingError):
        decode_inputs(arrow_stream(batch(t=column)))


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_data_are_refused_before_they_are_opened(arrow_stream, tensor_column, codec):
    rows = [{"data": [0.0] * 500_000, "shape": [500_000]}]
    data = arrow_stream(batch(t=tensor_column(rows)), compression=codec)
    tracemalloc.start()
    try:
        with pytest.raises(BadRecord, match="compressed"):
            decode_inputs(data)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_second_batch_no_batch_and_the_file_form_are_refused(arrow_stream):
    one = batch(t=pa.array([1.5], pa.float32()))
    assert decode_inputs(arrow_stream(one))["t"].tolist() == [1.5]
    with pytest.raises(BadRecord, match="more Arrow record batches"):
        decode_inputs(arrow_stream(one, one))
    with pytest.raises(BadRecord, match="one Arrow batch"):
        decode_inputs(bytes(one.schema.serialize()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, one.schema) as writer:
        writer.write_batch(one)
    with pytest.raises(BadRecord):
        decode_inputs(sink.getvalue().to_pybytes())


def test_columns_are_counted_and_named_once(arrow_stream):
    number = pa.array([1], pa.int32())
    names = [f"c{index}" for index in range(64)]
    assert len(decode_inputs(arrow_stream(pa.RecordBatch.from_arrays([number] * 64, names=names)))) == 64
    with pytest.raises(BadRecord, match="1 to 64 columns"):
        decode_inputs(arrow_stream(pa.RecordBatch.from_arrays([number] * 65, names=[*names, "more"])))
    with pytest.raises(BadRecord, match="twice"):
        decode_inputs(arrow_stream(pa.RecordBatch.from_arrays([number] * 2, names=["a", "a"])))
    with pytest.raises(BadRecord, match="512 bytes"):
        decode_inputs(arrow_stream(batch(**{"n" * 513: number})))


def test_limits_hold():
    with pytest.raises(TooLarge):
        decode_inputs(encode_inputs({"t": DENSE}), Limits(max_record_bytes=1000))
    with pytest.raises(TooLarge):
        decode_inputs(encode_inputs({"w": ["a", "b", "c"]}), Limits(max_strings=2))


def test_a_length_in_the_data_allocates_nothing(arrow_vectors):
    """The count of values in the metadata of example A, raised to more than any memory."""
    data, _ = arrow_vectors["dense"]
    at = data.index(struct.pack("<2q", 4, 0), 900)
    while at != -1:
        hostile = data[:at] + struct.pack("<q", 1 << 40) + data[at + 8 :]
        with pytest.raises(BadRecord):
            decode_inputs(hostile)
        at = data.find(struct.pack("<2q", 4, 0), at + 1)


def test_buffers_may_not_share_bytes_to_grow(arrow_stream):
    """Sixty columns that all point to one large text would be sixty texts."""
    text = "x" * 10_000
    data = arrow_stream(pa.RecordBatch.from_arrays([pa.array([text]), pa.array(["y" * 16])], names=["a", "b"]))
    small, large = struct.pack("<q", 16), struct.pack("<q", 10_000)
    at = data.rindex(small, 0, 900)
    place = data.index(large)
    hostile = data[: at - 8] + data[place - 8 : place + 8] + data[at + 8 :]
    with pytest.raises(BadRecord, match="larger than its body"):
        decode_inputs(hostile)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xff\xff\xff", b"ARROW1\0\0", bytes(8), b"\xff" * 64, b"\x08\0\0\0" + b"\xff" * 8]
)
def test_other_bytes_are_no_record(data):
    with pytest.raises(BadRecord):
        decode_inputs(data)
