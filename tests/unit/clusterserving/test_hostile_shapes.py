"""Shapes that no array can have, in records and in results: refused with a word, whoever wrote them."""

import base64
import struct

import numpy as np
import pytest

from strongroom.clusterserving import raw
from strongroom.clusterserving.arrow_request import decode_inputs, encode_inputs
from strongroom.clusterserving.arrow_result import encode_result
from strongroom.clusterserving.faults import BadRecord, TooLarge
from strongroom.clusterserving.limits import DEFAULT_LIMITS
from strongroom.clusterserving.result_reading import read_result

EMPTY = "[0,1099511627775,1099511627775]"
DEEP = "[" + ",".join("1" * 70) + "]"
FIELDS = [
    ("float32", EMPTY, b""), ("bool", EMPTY, b""), ("string", EMPTY, b""), ("float64", "[0," + "9" * 200 + "]", b""),
    ("string", DEEP, bytes(4)), ("string", "[0," + DEEP[1:], b""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "shape", "data"), FIELDS)
def test_sv_12_a_raw_shape_that_no_array_has_is_a_bad_record(kind, shape, data):
    fields = {b"m:t": f'{{"dtype":"{kind}","shape":{shape}}}'.encode(), b"d:t": data}
    with pytest.raises(BadRecord):
        raw.from_fields(fields)
    with pytest.raises(BadRecord):
        read_result("u", {b"value": b"NaN", b"id": b"1-1", **fields})


@pytest.mark.parametrize("shape", ["[[0,1099511627775,1099511627775]]", "[[0,99999999999999999999999]]"])
def test_sv_12_a_said_shape_that_no_array_has_is_a_bad_record(shape):
    value = base64.b64encode(encode_result([np.zeros((0,), np.float32)]))
    with pytest.raises(BadRecord):
        read_result("u", {b"value": value, b"id": b"1-1", b"shapes": shape.encode()})


def test_sv_12_an_arrow_shape_that_no_array_has_is_a_bad_record():
    dimensions = struct.pack("<8i", 0, *[7] * 7)
    record = encode_inputs({"t": np.zeros((0, *[7] * 7), np.float32)})
    assert record.count(dimensions) == 1
    with pytest.raises(BadRecord):
        decode_inputs(record.replace(dimensions, struct.pack("<8i", 0, *[2**31 - 1] * 7)), DEFAULT_LIMITS)


def test_sv_12_a_sparse_shape_that_no_array_has_is_too_large():
    fields = {b"m:t": f'{{"sparse":[0,3],"shape":{EMPTY}}}'.encode(), b"d:t": b""}
    with pytest.raises(TooLarge):
        raw.from_fields(fields)
