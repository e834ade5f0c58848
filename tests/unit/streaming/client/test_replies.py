"""All forms in which front ends answer /predict, and what they answer instead of a prediction."""

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.clusterserving.arrow_result import encode_result
from strongroom.clusterserving.faults import Internal, ModelError
from strongroom.errors import StrongroomError
from strongroom.streaming.client.replies import BadReply, read_failure, read_predictions

OUTPUT = np.array([[0.25, 0.5, 0.25]], np.float32)
SPELLED = {"data": [0.25, 0.5, 0.25], "shape": [1, 3]}
ARROW = base64.b64encode(encode_result([OUTPUT])).decode()


def one(element):
    return read_predictions(json.dumps({"predictions": [element]}).encode())[0]


@pytest.mark.parametrize(
    "element",
    [
        SPELLED,
        {"data": [[0.25, 0.5, 0.25]], "shape": [1, 3]},
        {"outputs": {"y": SPELLED}},
        {"y": SPELLED},
        json.dumps({"value": json.dumps(SPELLED)}),
        json.dumps(ARROW),
        ARROW,
    ],
    ids=["ours", "nested", "outputs", "by name", "instance mode", "direct mode", "direct mode, unquoted"],
)
def test_each_form_gives_the_same_array(element):
    (array,) = one(element).outputs.values()
    np.testing.assert_array_equal(array, OUTPUT)
    assert array.dtype == np.float32


def test_the_documented_form_is_a_maps_text():
    assert one("{value=[[903,0.1306194]]}").text == "[[903,0.1306194]]"


def test_several_outputs_of_instance_mode_run_together():
    found = one(json.dumps({"value": json.dumps(SPELLED) + json.dumps({"data": [7], "shape": [1]})}))
    assert [each.tolist() for each in found.outputs.values()] == [[[0.25, 0.5, 0.25]], [7]]


@pytest.mark.parametrize("element", ['{"value": "NaN"}', '"NaN"', "NaN", "{value=NaN}"])
def test_nan_is_an_error_in_every_form(element):
    assert isinstance(one(element).error, Internal)


def test_an_instances_own_error_is_typed():
    found = one({"error": {"code": "model_error", "message": "the model broke"}}).error
    assert isinstance(found, ModelError)
    assert found.sentence == "the model broke"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"{}", b'{"predictions": 1}', b'{"predictions": [1]}', b'{"predictions": [{}]}',
        b'{"predictions": [{"data": 1}]}', b'{"predictions": [{"data": [1, [2]], "shape": [2]}]}',
        b'{"predictions": [{"data": [1], "shape": [2]}]}', b'{"predictions": [{"data": [1], "shape": [true]}]}',
        b'{"predictions": [{"data": [1], "shape": "1"}]}', b'{"predictions": ["{\\"value\\": 1}"]}',
        b'{"predictions": ["{\\"value\\": \\"{x\\"}"]}', b'{"predictions": [' + b"[" * 5000 + b"]" * 5000 + b"]}",
        b"\xff",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_called_so(body):
    with pytest.raises(BadReply) as problem:
        read_predictions(body)
    assert problem.value.code == "SR-QUEUE-FRONTEND-REPLY"


@pytest.mark.parametrize("data", [[0.0, 3.5e38, -3.5e38], [None, 3.5e38, -3.5e38]], ids=["numbers", "nulls"])
def test_what_float32_cannot_hold_is_infinite_as_in_the_arrow_form(data):
    found = one({"data": data}).outputs["output_0"]
    assert (found.dtype, found[1:].tolist()) == (np.float32, [np.inf, -np.inf])


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just(ARROW),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["data", "shape", "value", "error", "outputs", "y"]), inner, max_size=3),
    max_leaves=12,
))  # fmt: skip
def test_any_json_gives_results_or_a_typed_error(element):
    for each in (element, json.dumps(element)):
        try:
            one(each)
        except StrongroomError:
            continue


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (429, b'{"error": {"code": "queue_full", "message": "30 a second"}}', "SR-QUEUE-FULL"),
        (500, b'{"error":"limited"}', "SR-QUEUE-FULL"),
        (400, b'{"error": "Wrong content format.\\nDetails: x"}', "SR-QUEUE-BAD-RECORD"),
        (404, b"Model Not Found", "SR-QUEUE-NOT-READY"),
        (504, b"", "SR-QUEUE-DEADLINE"),
        (503, b"{", "SR-QUEUE-NOT-READY"),
        (422, b'{"error": {"code": "shape_mismatch", "message": "x"}}', "SR-QUEUE-SHAPE"),
        (302, b"elsewhere", "SR-QUEUE-INTERNAL"),
        (401, b'{"error": 5}', "SR-QUEUE-UNAUTHORIZED"),
    ],
)
def test_other_answers_are_typed_errors(status, body, code):
    assert read_failure(status, body).code == code
