"""Results in the original's Arrow form: the spec's examples both ways, shapes that rows cannot hold, other bytes."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from strongroom.clusterserving.arrow_result import decode_result, encode_result
from strongroom.clusterserving.faults import BadRecord

D = np.array([[0.25, 0.5, 0.25]], np.float32)
E = np.array([1, 2], np.float32)


def batches_of(data):
    with pa.ipc.open_stream(data) as reader:
        found = list(reader)
    for each in found:
        each.validate(full=True)
    return found


@pytest.mark.parametrize(("name", "outputs"), [("result", [D]), ("two_results", [D, E])])
def test_examples_d_and_e_are_written_to_the_byte_and_read(arrow_vectors, name, outputs):
    data, sha256 = arrow_vectors[name]
    assert hashlib.sha256(data).hexdigest() == sha256
    assert encode_result(outputs) == data
    for found, wanted in zip(decode_result(data), outputs, strict=True):
        assert (found.dtype, found.shape, found.tolist()) == (np.float32, wanted.shape, wanted.tolist())


def test_pyarrow_reads_what_we_write():
    first, second = batches_of(encode_result([D, E]))
    assert first.to_pydict() == {"data": [0.25, 0.5, 0.25], "shape": [1, 3, None]}
    assert second.to_pydict() == {"data": [1, 2], "shape": [2, None]}


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1), (0,), (3, 0), (2, 3), (1, 1, 1, 2), (40, 25)])
def test_d17_every_shape_comes_back_where_shapes_are_said(shape):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    (found,) = decode_result(encode_result([array]), shapes=[shape])
    assert found.shape == shape
    assert found.tolist() == array.tolist()


def test_d17_old_readers_see_fewer_dimensions_and_no_zeros():
    assert decode_result(encode_result([np.ones((1, 1))]))[0].shape == (1,)
    assert decode_result(encode_result([np.ones((3, 0))]))[0].shape == (0,)
    assert decode_result(encode_result([np.float32(7)[None][0:1]]))[0].tolist() == [7]


@pytest.mark.parametrize("rest", [None, 0])
@pytest.mark.parametrize("order", [["data", "shape"], ["shape", "data"]])
def test_other_writers_leave_zeros_or_nulls_and_choose_the_order(arrow_stream, rest, order):
    columns = {"data": pa.array([1, 2, 3, 4], pa.float32()), "shape": pa.array([2, 2, rest, rest], pa.int32())}
    data = arrow_stream(pa.RecordBatch.from_arrays([columns[name] for name in order], names=order))
    assert decode_result(data)[0].tolist() == [[1, 2], [3, 4]]


def test_other_types_are_written_as_float32_and_text_is_not():
    assert decode_result(encode_result([np.array([1, 2], np.int64)]))[0].tolist() == [1, 2]
    assert decode_result(encode_result([np.asfortranarray([[1, 2], [3, 4.0]])]))[0].tolist() == [[1, 2], [3, 4]]
    with pytest.raises(BadRecord) as caught:
        encode_result([np.array(["a"], object)])
    assert caught.value.code == "SR-QUEUE-BAD-RECORD"


def wrong():
    floats, ints = pa.array([1, 2], pa.float32()), pa.array([2, None], pa.int32())
    yield "another column", {"data": floats, "size": ints}
    yield "a third column", {"data": floats, "shape": ints, "more": ints}
    yield "no shape", {"data": floats}
    yield "a shape of floats", {"data": floats, "shape": floats}
    yield "doubles", {"data": pa.array([1.0, 2.0]), "shape": ints}
    yield "texts", {"data": pa.array(["a", "b"]), "shape": ints}
    yield "a null", {"data": pa.array([1, None], pa.float32()), "shape": ints}
    yield "another size", {"data": floats, "shape": pa.array([3, None], pa.int32())}
    yield "negative dimensions", {"data": floats, "shape": pa.array([-2, -1], pa.int32())}


@pytest.mark.parametrize("columns", [pytest.param(columns, id=name) for name, columns in wrong()])
def test_what_is_no_result_is_refused(arrow_stream, columns):
    with pytest.raises(BadRecord):
        decode_result(arrow_stream(pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))))


@pytest.mark.parametrize("shapes", [[], [[3]], [[2], [2]], [[-1, -2]], [[1] * 8 + [2]]])
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(BadRecord):
        decode_result(encode_result([E]), shapes=shapes)


def test_there_are_at_most_as_many_outputs_as_inputs():
    assert len(decode_result(encode_result([E] * 64))) == 64
    with pytest.raises(BadRecord):
        decode_result(encode_result([E] * 65))
