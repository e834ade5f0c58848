"""REST from the caller's side: bodies, answers, and what is refused in them."""

import base64
import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.client.answers import Metadata, ModelSpec, Signature, TensorInfo, UnclearRequest
from strongroom.client.rest import metadata_of, outputs_of, parse_json, predict_body, status_of
from strongroom.client.status import BadAnswer

ONE = Signature({"x": TensorInfo("DT_FLOAT", (-1,))}, {"y": TensorInfo("DT_FLOAT", (-1,))}, "")
TWO = Signature({}, {"a": TensorInfo("DT_INT64", (-1,)), "b": TensorInfo("DT_STRING", (-1,))}, "")


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (np.array([[1.5, 2]], np.float32), [[1.5, 2.0]]),
        (np.array([1, 2], np.int64), [1, 2]),
        (np.array([True]), [True]),
        (np.array(["a"]), ["a"]),
        (np.array([b"\xff", b""], dtype=object), [{"b64": "/w=="}, {"b64": ""}]),
        (np.array(3.0), 3.0),
    ],
)
def test_a_tensor_is_sent_in_columns(value, sent):
    assert json.loads(predict_body({"x": value}, "")) == {"inputs": {"x": sent}}


def test_a_signature_is_named_when_asked_for():
    assert json.loads(predict_body({"x": np.zeros(1)}, "other"))["signature_name"] == "other"


@pytest.mark.parametrize("inputs", [{}, {"x": np.array([1j])}, {"x": np.array([object()], dtype=object)}])
def test_what_json_cannot_carry_is_refused(inputs):
    with pytest.raises(UnclearRequest) as caught:
        predict_body(inputs, "")
    assert caught.value.code == "SR-UNCLEAR-REQUEST"


def test_one_output_comes_bare_and_gets_the_type_of_the_signature():
    outputs = outputs_of({"outputs": [[1.0, 2.5]]}, ONE)
    assert outputs["y"].dtype == np.float32
    assert outputs["y"].tolist() == [[1.0, 2.5]]


def test_several_outputs_come_by_name():
    outputs = outputs_of({"outputs": {"a": [2**53 + 1], "b": ["x", {"b64": base64.b64encode(b"\xff").decode()}]}}, TWO)
    assert (outputs["a"].dtype, outputs["a"].tolist()) == (np.int64, [2**53 + 1])
    assert outputs["b"].tolist() == [b"x", b"\xff"]


def test_outputs_of_an_unknown_signature_keep_what_json_says():
    assert outputs_of({"outputs": {"z": [1.5]}}, None)["z"].tolist() == [1.5]


@pytest.mark.parametrize(
    ("answer", "signature"),
    [
        ([], ONE), ({}, ONE), ({"predictions": []}, ONE), ({"outputs": [[1], [1, 2]]}, ONE), ({"outputs": "x"}, ONE),
        ({"outputs": {"a": [1]}}, TWO), ({"outputs": {"a": [1.5, "x"], "b": []}}, TWO),
        ({"outputs": {"a": [1], "b": [1]}}, TWO),
        ({"outputs": {"a": [2**70], "b": []}}, TWO), ({"outputs": {"a": [1], "b": [{"b64": "!"}]}}, TWO),
        ({"outputs": 1}, None), ({"outputs": 3.4028235677973366e38}, ONE),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_fit_its_signature_is_refused(answer, signature):
    with pytest.raises(BadAnswer):
        outputs_of(answer, signature)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 200_000])
def test_what_is_not_json_is_refused(data):
    with pytest.raises(BadAnswer):
        parse_json(data)


STATUS = {
    "model_version_status": [
        {"version": "2", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
        {"version": "1", "state": "END", "status": {"error_code": "INTERNAL", "error_message": "broken"}},
    ]
}


def test_status_is_read_version_by_version():
    versions = status_of(STATUS)
    assert [(each.version, each.state, each.error_message) for each in versions] == [
        (2, "AVAILABLE", ""),
        (1, "END", "broken"),
    ]


DIMENSIONS = {"dim": [{"size": "-1", "name": ""}, {"size": "4", "name": ""}], "unknown_rank": False}
SIGNATURE = {
    "inputs": {"x": {"dtype": "DT_FLOAT", "name": "x:0", "tensor_shape": DIMENSIONS}},
    "outputs": {"y": {"dtype": "DT_STRING", "name": "", "tensor_shape": {"dim": [], "unknown_rank": True}}},
    "method_name": "tensorflow/serving/predict",
    "defaults": {},
}
METADATA = {
    "model_spec": {"name": "m", "signature_name": "", "version": "3"},
    "metadata": {"signature_def": {"signature_def": {"serving_default": SIGNATURE}}},
}


def test_metadata_is_read_signature_by_signature():
    metadata = metadata_of(METADATA)
    assert (metadata.name, metadata.version) == ("m", 3)
    assert metadata.signature("").inputs == {"x": TensorInfo("DT_FLOAT", (-1, 4))}
    assert metadata.signature("serving_default").outputs == {"y": TensorInfo("DT_STRING", None)}
    with pytest.raises(BadAnswer, match="lists no signature 'other'"):
        metadata.signature("other")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(
            ["outputs", "model_version_status", "version", "status", "model_spec", "metadata", "signature_def", "b64"]
        ),
        inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(json_values)
def test_any_json_is_an_answer_or_one_catalogued_error(value):
    for read in (lambda: outputs_of(value, ONE), lambda: outputs_of(value, TWO), lambda: status_of(value)):
        with contextlib.suppress(BadAnswer):
            read()
    with pytest.raises(BadAnswer):
        metadata_of(value)


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"name": "m", "version": 1, "label": "x"}, {"name": "m", "version": -1}]
)
def test_a_model_is_named_one_way(wrong):
    with pytest.raises(UnclearRequest):
        ModelSpec(**wrong)


def test_a_model_reads_as_a_person_says_it():
    assert [str(ModelSpec("m")), str(ModelSpec("m", 2)), str(ModelSpec("m", None, "stable"))] == [
        "m",
        "m version 2",
        "m label stable",
    ]


def test_metadata_is_a_value():
    assert Metadata("m", 1, {}) == Metadata("m", 1, {})
