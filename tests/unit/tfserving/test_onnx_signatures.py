"""The signatures that an ONNX model carries: names in requests to names in the graph, and nothing else."""

import json

import pytest

from strongroom.tfserving.onnx_signatures import MAX_NAME, BadOnnxSignatures, SignatureNames, parse_names, render_names

ONE = {"serving_default": {"method_name": "m", "inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}}


def test_names_come_back_as_they_were_rendered():
    signatures = {
        "a": SignatureNames(inputs={"x": "x:0"}, outputs={"y": "y:0", "z": "z:0"}),
        "b": SignatureNames(inputs={}, outputs={"ä": "y:0"}, method="tensorflow/serving/regress"),
    }
    assert parse_names(render_names(signatures)) == signatures
    assert parse_names(render_names(signatures).encode()) == signatures


def test_the_method_may_be_left_out():
    assert parse_names('{"s": {"inputs": {}, "outputs": {"y": "y"}}}')["s"].method == "tensorflow/serving/predict"


@pytest.mark.parametrize(
    "value",
    [
        [], {}, {"s": []}, {"s": {}}, {"s": {"inputs": {}, "outputs": {}}}, {"s": {"inputs": {}, "outputs": {"y": 1}}},
        {"s": {"inputs": {"x": ""}, "outputs": {"y": "y"}}}, {"s": {"inputs": ["x"], "outputs": {"y": "y"}}},
        {"s": {"inputs": {}, "outputs": {"y": "y"}, "method_name": 1}},
        {"s": {"inputs": {}, "outputs": {"y": "y" * (MAX_NAME + 1)}}},
        {str(number): ONE["serving_default"] for number in range(1001)},
    ],
)  # fmt: skip
def test_anything_else_is_refused(value):
    with pytest.raises(BadOnnxSignatures) as caught:
        parse_names(json.dumps(value))
    assert caught.value.code == "SR-ONNX-SIGNATURES"


@pytest.mark.parametrize("text", ["", "{", b"\xff", '{"s": 1, "s": 2}', "[" * 100_000, "NaN"])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(BadOnnxSignatures):
        parse_names(text)
