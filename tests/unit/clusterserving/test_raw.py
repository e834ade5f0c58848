"""The raw form: fields and container, and everything that does not fit in them."""

import numpy as np
import pytest

from strongroom.clusterserving import raw
from strongroom.clusterserving.faults import BadRecord, ServingError, TooLarge
from strongroom.clusterserving.limits import Limits
from strongroom.clusterserving.values import Image, Sparse, Strings


def fields_of(inputs):
    return {name.encode(): value for name, value in raw.to_fields(inputs).items()}


def test_the_words_are_those_of_the_spec():
    fields = raw.to_fields({"t": np.array([[1, 2]], np.float32), "i": Image(b"\xff\xd8\xff")})
    assert fields["m:t"] == b'{"dtype":"float32","shape":[1,2]}'
    assert fields["d:t"] == bytes.fromhex("0000803f00000040")
    assert (fields["m:i"], fields["d:i"]) == (b'{"image":"jpeg"}', b"\xff\xd8\xff")
    assert list(fields) == ["m:t", "d:t", "m:i", "d:i"]


@pytest.mark.parametrize("dtype", sorted(raw.DTYPES))
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_every_type_and_shape_comes_back(dtype, shape):
    array = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    for found in (raw.from_fields(fields_of({"t": array})), raw.from_bytes(raw.to_bytes({"t": array}))):
        assert (found["t"].dtype, found["t"].shape) == (array.dtype, shape)
        assert found["t"].tolist() == array.tolist()


def test_byte_order_and_strides_are_put_right():
    array = np.arange(6, dtype=">i4").reshape(2, 3).T
    assert raw.from_fields(fields_of({"t": array}))["t"].tolist() == array.tolist()


def test_texts_images_and_sparse_tensors_come_back():
    sparse = Sparse(np.array([[0, 1], [2, 0]]), np.array([5.0, 6.0]), (3, 2))
    found = raw.from_bytes(raw.to_bytes({"a": Strings(("", "b|ü")), "b": Image(b"x"), "c": sparse}))
    assert (found["a"], found["b"]) == (Strings(("", "b|ü")), Image(b"x"))
    assert (found["c"].indices.tolist(), found["c"].values.tolist(), found["c"].shape) == (
        [[0, 1], [2, 0]],
        [5, 6],
        (3, 2),
    )


def test_arrays_are_views():
    (array,) = raw.from_fields(fields_of({"t": np.zeros(1000)})).values()
    assert not array.flags.owndata


def test_outputs_of_text_keep_their_shape():
    outputs = {"y": np.array([["a", b"b"]], object)}
    found = raw.arrays_from_fields(fields_of(outputs))["y"]
    assert found.tolist() == [["a", "b"]]
    assert raw.arrays_from_bytes(raw.to_bytes(outputs))["y"].shape == (1, 2)


@pytest.mark.parametrize("array", [np.zeros(1, "c8"), np.zeros(1, "M8[s]"), np.array([1, None], object)])
def test_arrays_of_other_types_are_not_sent(array):
    with pytest.raises(BadRecord) as caught:
        raw.to_fields({"t": array})
    assert caught.value.code == "SR-QUEUE-BAD-RECORD"


WORDS = {
    "no JSON": (b"{", b""),
    "a list": (b"[]", b""),
    "deep JSON": (b"[" * 200, b""),
    "an unknown type": (b'{"dtype":"complex64","shape":[]}', bytes(8)),
    "objects": (b'{"dtype":"object","shape":[]}', bytes(8)),
    "no shape": (b'{"dtype":"int8"}', b"a"),
    "a shape of text": (b'{"dtype":"int8","shape":["1"]}', b"a"),
    "a shape of floats": (b'{"dtype":"int8","shape":[1.0]}', b"a"),
    "a shape of true": (b'{"dtype":"int8","shape":[true]}', b"a"),
    "a negative dimension": (b'{"dtype":"int8","shape":[-1,-1]}', b"a"),
    "a huge dimension": (b'{"dtype":"int8","shape":[1099511627776,0]}', b""),
    "too many dimensions": (b'{"dtype":"int8","shape":[1,1,1,1,1,1,1,1,1]}', b"a"),
    "more bytes": (b'{"dtype":"int8","shape":[1]}', b"ab"),
    "fewer bytes": (b'{"dtype":"int32","shape":[1]}', b"abc"),
    "a bool of two": (b'{"dtype":"bool","shape":[1]}', b"\x02"),
    "another member": (b'{"dtype":"int8","shape":[1],"x":1}', b"a"),
    "an image and more": (b'{"image":"jpeg","shape":[1]}', b"a"),
    "words too long": (b'{"dtype":"int8","shape":[1]}' + b" " * 300, b"a"),
    "texts cut short": (b'{"dtype":"string","shape":[2]}', b"\x01\0\0\0a"),
    "a text beyond the end": (b'{"dtype":"string","shape":[1]}', b"\xff\0\0\0a"),
    "more than the texts": (b'{"dtype":"string","shape":[1]}', b"\0\0\0\0\0"),
    "a text that is not UTF-8": (b'{"dtype":"string","shape":[1]}', b"\x01\0\0\0\xff"),
    "more texts than bytes": (b'{"dtype":"string","shape":[1000000]}', b""),
    "a sparse tensor of another rank": (b'{"sparse":[1,2],"shape":[3]}', bytes(12)),
    "a sparse tensor of fewer bytes": (b'{"sparse":[1,1],"shape":[3]}', bytes(4)),
    "a sparse index beyond": (b'{"sparse":[1,1],"shape":[3]}', b"\x03\0\0\0\0\0\0\0"),
    "sparse counts of three": (b'{"sparse":[1,1,1],"shape":[3]}', bytes(8)),
}


@pytest.mark.parametrize(("words", "data"), WORDS.values(), ids=WORDS.keys())
def test_what_does_not_fit_is_refused(words, data):
    with pytest.raises(BadRecord):
        raw.from_fields({b"m:t": words, b"d:t": data})


@pytest.mark.parametrize(
    "fields",
    [{}, {b"d:t": b""}, {b"m:t": b'{"image":"png"}'}, {b"m:\xff": b'{"image":"png"}', b"d:\xff": b""},
     {b"m:t": b'{"image":"png"}', b"d:t": b"", b"d:u": b""}],
)  # fmt: skip
def test_fields_come_in_pairs(fields):
    with pytest.raises(BadRecord):
        raw.from_fields(fields)


def test_an_output_is_no_image():
    with pytest.raises(BadRecord):
        raw.arrays_from_fields({b"m:t": b'{"image":"png"}', b"d:t": b""})


def test_a_container_ends_where_it_says():
    data = raw.to_bytes({"a": np.arange(3), "b": np.arange(2)})
    for size in range(len(data)):
        with pytest.raises(BadRecord):
            raw.from_bytes(data[:size])
    with pytest.raises(BadRecord):
        raw.from_bytes(data + b"\0")


def test_an_input_comes_once():
    one = raw.to_bytes({"a": np.arange(3)})
    with pytest.raises(BadRecord, match="twice"):
        raw.from_bytes(b"\x02\0" + one[2:] + one[2:])


@pytest.mark.parametrize(
    ("limits", "inputs"),
    [(Limits(max_record_bytes=10), {"a": np.zeros(4)}), (Limits(max_columns=1), {"a": np.zeros(1), "b": np.zeros(1)}),
     (Limits(max_strings=1), {"a": Strings(("a", "b"))}), (Limits(max_rank=1), {"a": np.zeros((1, 1))})],
)  # fmt: skip
def test_limits_hold(limits, inputs):
    for read, data in ((raw.from_fields, fields_of(inputs)), (raw.from_bytes, raw.to_bytes(inputs))):
        with pytest.raises(ServingError):
            read(data, limits)


def test_a_sparse_tensor_that_is_dense_beyond_the_limit_is_too_large():
    sparse = Sparse(np.array([[0, 0]]), np.array([1.0]), (1 << 30, 1 << 30))
    with pytest.raises(TooLarge) as caught:
        raw.from_fields(fields_of({"s": sparse}))
    assert caught.value.code == "SR-QUEUE-TOO-LARGE"
