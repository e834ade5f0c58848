"""TensorProto decoding by TensorFlow's rules, limits before allocation, and encoding."""

import tracemalloc

import numpy as np
import pytest

from strongroom.tfserving import BadTensor, DataType, Limits, TensorProto, UnsupportedType, array_to_tensor
from strongroom.tfserving.datatypes import STORAGE, type_of_array
from strongroom.tfserving.tensors import encode_tensor, tensor_to_array


def tensor(dtype, shape, **values):
    made = TensorProto(dtype=dtype, **values)
    if shape is not None:
        made.tensor_shape.SetInParent()
        for size in shape:
            made.tensor_shape.dim.add(size=size)
    return made


def test_the_last_value_repeats():
    array = tensor_to_array(tensor(1, [2, 3], float_val=[1.5, 2.5]))
    assert array.tolist() == [[1.5, 2.5, 2.5], [2.5, 2.5, 2.5]]


def test_one_value_fills_any_shape():
    assert tensor_to_array(tensor(9, [2, 2], int64_val=[7])).tolist() == [[7, 7], [7, 7]]
    assert tensor_to_array(tensor(7, [2], string_val=[b"a"])).tolist() == [b"a", b"a"]


@pytest.mark.parametrize("kind", [kind for kind in DataType if kind is not DataType.DT_STRING])
def test_no_value_at_all_means_zeros(kind):
    array = tensor_to_array(tensor(kind, [2]))
    assert array.dtype == STORAGE[kind].dtype
    assert array.tolist() == [0, 0]


def test_no_string_at_all_means_empty_strings():
    assert tensor_to_array(tensor(7, [2])).tolist() == [b"", b""]


def test_surplus_values_are_ignored():
    assert tensor_to_array(tensor(3, [2], int_val=[1, 2, 3])).tolist() == [1, 2]


def test_no_shape_is_a_scalar():
    array = tensor_to_array(tensor(1, None, float_val=[4.0]))
    assert array.shape == ()
    assert array == 4.0


def test_half_values_are_bit_patterns():
    bits = int(np.array(1.5, np.float16).view(np.uint16))
    assert tensor_to_array(tensor(19, [1], half_val=[bits])).tolist() == [1.5]


def test_complex_values_are_pairs():
    assert tensor_to_array(tensor(8, [1], scomplex_val=[1.0, 2.0])).tolist() == [1 + 2j]


def test_narrow_integers_come_from_int_val():
    assert tensor_to_array(tensor(4, [2], int_val=[255, 1])).dtype == np.uint8
    assert tensor_to_array(tensor(6, [1], int_val=[-1])).tolist() == [-1]


def test_content_is_read_in_place_where_it_is_aligned():
    content = np.arange(6, dtype=np.float32).tobytes()
    message = tensor(1, [2, 3], tensor_content=content)
    array = tensor_to_array(message)
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not array.flags.writeable
    assert array.flags.aligned


def test_any_byte_but_zero_is_true_in_bool_content():
    assert tensor_to_array(tensor(10, [3], tensor_content=b"\x00\x01\x02")).tolist() == [False, True, True]


@pytest.mark.parametrize("length", [0, 1, 7, 9])
def test_content_of_another_length_is_refused(length):
    if not length:
        assert tensor_to_array(tensor(1, [2], tensor_content=b"")).tolist() == [0, 0]  # empty: the typed field counts
        return
    with pytest.raises(BadTensor, match="needs 8") as caught:
        tensor_to_array(tensor(1, [2], tensor_content=bytes(length)))
    assert caught.value.code == "SR-TENSOR"


def test_string_content_is_lengths_then_bytes():
    array = tensor_to_array(tensor(7, [3], tensor_content=b"\x01\x00\x02abc"))
    assert array.tolist() == [b"a", b"", b"bc"]


@pytest.mark.parametrize("content", [b"\x01", b"\xff\xff\xff\xff\xff\xff\x00\x00\x00", b"\x01\x01\x01a", b"\x80"])
def test_string_content_that_does_not_add_up_is_refused(content):
    with pytest.raises(BadTensor):
        tensor_to_array(tensor(7, [3], tensor_content=content))


@pytest.mark.parametrize("number", [0, 20, 21, 29, 33, 34, 101, -1])
def test_types_that_cannot_be_sent_are_refused(number):
    with pytest.raises(UnsupportedType) as caught:
        tensor_to_array(tensor(number, [1]))
    assert caught.value.code == "SR-TENSOR-TYPE"


@pytest.mark.parametrize("shape", [[-1], [2, -5], [2**40, 2**40], [2**62, 4], [0, 2**62], [1] * 33])
def test_impossible_shapes_are_refused(shape):
    with pytest.raises(BadTensor):
        tensor_to_array(tensor(1, shape, float_val=[1.0]))
    with pytest.raises(BadTensor):
        tensor_to_array(tensor(1, shape, tensor_content=b"1234"))


def test_unknown_rank_is_refused():
    message = TensorProto(dtype=1, float_val=[1.0])
    message.tensor_shape.unknown_rank = True
    with pytest.raises(BadTensor, match="unknown rank"):
        tensor_to_array(message)


def test_sv_12_a_few_bytes_do_not_become_a_large_array():
    message = tensor(1, [2**30], float_val=[1.0])
    tracemalloc.start()
    with pytest.raises(BadTensor, match="would fill"):
        tensor_to_array(message)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_the_limit_on_repetition_is_the_callers():
    message = tensor(1, [1024], float_val=[1.0])
    assert tensor_to_array(message, limits=Limits(max_expanded_bytes=4096)).shape == (1024,)
    with pytest.raises(BadTensor):
        tensor_to_array(message, limits=Limits(max_expanded_bytes=4095))


def test_floats_are_written_to_their_typed_field():
    message = array_to_tensor(np.array([[1.0, 2.0]], np.float32))
    assert list(message.float_val) == [1.0, 2.0]
    assert not message.tensor_content
    assert [dim.size for dim in message.tensor_shape.dim] == [1, 2]


def test_content_is_written_on_request_but_never_for_strings():
    assert array_to_tensor(np.zeros(2, np.float32), as_content=True).tensor_content == bytes(8)
    strings = array_to_tensor(np.array([b"a", b"b"], object), as_content=True)
    assert list(strings.string_val) == [b"a", b"b"]


def test_a_scalar_has_an_empty_shape_and_one_value():
    message = array_to_tensor(np.array(3, np.int64))
    assert message.HasField("tensor_shape")
    assert not message.tensor_shape.dim
    assert list(message.int64_val) == [3]


def test_text_arrays_become_utf8_bytes():
    assert list(array_to_tensor(np.array(["ä"])).string_val) == ["ä".encode()]


def test_arrays_that_are_no_tensor_are_refused():
    with pytest.raises(UnsupportedType):
        type_of_array(np.array(["2020-01-01"], "datetime64[D]"))
    with pytest.raises(BadTensor):
        encode_tensor(np.array([1, None], object))


def test_big_endian_and_strided_arrays_are_written_in_order():
    array = np.arange(6, dtype=">f4").reshape(2, 3).T
    assert list(array_to_tensor(array).float_val) == [0, 3, 1, 4, 2, 5]
