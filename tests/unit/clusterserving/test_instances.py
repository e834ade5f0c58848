"""The body of `POST /predict`: every form of a value, and where exactly what does not fit is."""

import base64
import json

import numpy as np
import pytest

from strongroom.clusterserving.faults import BadImage, BadRecord, ServingError, TooLarge
from strongroom.clusterserving.instances import parse_instances
from strongroom.clusterserving.limits import Limits
from strongroom.clusterserving.values import Image, Sparse, Strings

JPEG = b"\xff\xd8\xff\xe0 and so on"


def one(value):
    ((found,),) = (each.values() for each in parse_instances(json.dumps({"instances": [{"x": value}]})))
    return found


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(1, [1]), (2.5, [2.5]), ([1, 2], [1, 2]), ([[1, 2.5], [3, 4]], [[1, 2.5], [3, 4]]), ([], []), ([[], []], [[], []]),
     ([[[1]]], [[[1]]])],
)  # fmt: skip
def test_numbers_become_float32(value, wanted):
    found = one(value)
    assert found.dtype == np.float32
    assert found.tolist() == wanted


def test_a_scalar_has_one_dimension():
    assert one(3).shape == (1,)


def test_texts_and_lists_of_texts_are_texts():
    assert one("hello") == Strings(("hello",))
    assert one("aGVsbG8=") == Strings(("aGVsbG8=",))  # base64, of no image
    assert one("grüße") == Strings(("grüße",))
    assert one(["a", "b|c"]) == Strings(("a", "b|c"))
    assert one([["a", "b"], ["c", "d"]]) == Strings(("a", "b", "c", "d"))


def test_images_are_base64_or_say_so():
    text = base64.b64encode(JPEG).decode()
    assert one(text) == Image(JPEG)
    assert one({"b64": base64.b64encode(b"anything").decode()}) == Image(b"anything")
    with pytest.raises(BadImage):
        one({"b64": "no base64"})


def test_a_sparse_tensor_is_checked():
    found = one({"shape": [3, 2], "data": [5, 6], "indices": [[0, 1], [2, 0]]})
    assert isinstance(found, Sparse)
    assert (found.indices.tolist(), found.values.tolist(), found.shape) == ([[0, 1], [2, 0]], [5, 6], (3, 2))
    assert (found.indices.dtype, found.values.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize(
    "value",
    [
        {"shape": [3, 2], "data": [5], "indices": [[0, 2]]},
        {"shape": [3, 2], "data": [5], "indices": [[0, -1]]},
        {"shape": [3, 2], "data": [5], "indices": [[0]]},
        {"shape": [3, 2], "data": [5], "indices": [0, 1]},
        {"shape": [3, 2], "data": [5], "indices": []},
        {"shape": [3, 2], "data": [5, 6], "indices": [[0, 1], [0, 1]]},
        {"shape": [3, 2], "data": ["5"], "indices": [[0, 1]]},
        {"shape": [3.0, 2], "data": [5], "indices": [[0, 1]]},
        {"shape": [True, 2], "data": [5], "indices": [[0, 1]]},
        {"shape": [], "data": [], "indices": []},
        {"shape": [3, 2], "data": [5], "indices": [[0, 1]], "more": 1},
        {"b64": 1},
        {"b64": "YQ==", "more": 1},
        {},
    ],
)
def test_objects_that_are_no_input_are_refused(value):
    with pytest.raises(BadRecord):
        one(value)


def test_every_instance_is_read_in_order():
    body = b'{"instances": [{"a": 1, "b": [2]}, {"b": [3], "a": 4}]}'
    first, second = parse_instances(body)
    assert (list(first), list(second)) == (["a", "b"], ["b", "a"])
    assert (first["a"].tolist(), second["b"].tolist()) == ([1], [3])


@pytest.mark.parametrize(
    ("instances", "path"),
    [
        ([{"ids": [1]}, {"ids": [[1, 2], [3, 4], [5]]}], "instances[1].ids[2]"),
        ([{"ids": [[[1], [2]], [[3], [4, 5]]]}], "instances[0].ids[1][1]"),
        ([{"ids": [[1], 2]}], "instances[0].ids[1]"),
        ([{"ids": [1, [2]]}], "instances[0].ids[1]"),
        ([{"ids": [1, "2"]}], "instances[0].ids[1]"),
        ([{"ids": [[1, 2], [3, None]]}], "instances[0].ids[1][1]"),
        ([{"ids": ["a", 2]}], "instances[0].ids[1]"),
        ([{"ids": True}], "instances[0].ids"),
        ([{"ids": None}], "instances[0].ids"),
        ([{"ids": 1}, 5], "instances[1]"),
        ([{"ids": [1e39]}], "instances[0].ids"),
        ([{"ids": [10**400]}], "instances[0].ids"),
        ([{"ids": {"shape": [2], "data": [1], "indices": [[0, 1]]}}], "instances[0].ids.indices[0]"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(instances, path):
    with pytest.raises(BadRecord) as caught:
        parse_instances(json.dumps({"instances": instances}))
    assert f"{path} " in caught.value.sentence or f"{path}:" in caught.value.sentence


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", "null", '{"instances": {}}', '{"instances": []}', '{"instances": [{}]}', '{"instances": [[1]]}',
     '{"instances": [{"a": 1}], "more": 1}', '{"instances": [{"a": NaN}]}', '{"instances": [{"a": [Infinity]}]}',
     '{"instances": [{"a": -Infinity}]}', '{"instances": [{"a": 1, "a": 1}]}', '{"instances": [{"a": 1}]} more',
     '{"instances": [{"a": 1}], "instances": [{"a": 1}]}', '{"instances": [{"a": "\\ud800"}]}',
     '{"instances": [{"\\ud800": 1}]}', '{"instances": [{"a": ["\\udfff"]}]}', "\ufeff{}",
     '{"instances": [{"a": ' + "[" * 9 + "1" + "]" * 9 + "}]}", '{"instances": [{"a": ' + "[" * 100_000,
     '{"instances": [{"a": ' + "9" * 5000 + "}]}", '{"instances": [{"a": 1e400}]}'],
)  # fmt: skip
def test_other_bodies_are_refused(body):
    with pytest.raises(BadRecord) as caught:
        parse_instances(body)
    assert caught.value.code == "SR-QUEUE-BAD-RECORD"


def test_bytes_that_are_not_utf8_are_refused():
    with pytest.raises(BadRecord, match="UTF-8"):
        parse_instances(b'{"instances": [{"a": "\xff"}]}')


@pytest.mark.parametrize(
    ("limits", "value"),
    [(Limits(max_record_bytes=20), 1), (Limits(max_instances=1), 1), (Limits(max_columns=1), 1),
     (Limits(max_strings=1), ["a", "b"]), (Limits(max_rank=1), [[1]])],
)  # fmt: skip
def test_limits_hold(limits, value):
    body = json.dumps({"instances": [{"a": value, "b": value}, {"a": value}]})
    with pytest.raises(ServingError):
        parse_instances(body, limits)
    assert issubclass(TooLarge, ServingError)


@pytest.mark.parametrize("form", [bytes, bytes.decode])
def test_sv_12_lists_that_take_far_more_memory_than_bytes_are_refused_unparsed(form):
    """Two bytes of JSON are a list of a hundred in memory: 32 MiB of them would be a gigabyte, for each record."""
    body = b'{"instances": [{"a": [' + b"[]," * 3_000_000 + b"[]]}]}"
    with pytest.raises(TooLarge, match="lists and objects"):
        parse_instances(form(body))
