"""REST answers: number text, nesting, strings, status and metadata."""

import json

import numpy as np
import pytest

from strongroom.tfserving.codes import Code
from strongroom.tfserving.datatypes import DataType
from strongroom.tfserving.json_models import metadata_json, status_json
from strongroom.tfserving.json_response import (
    NonFinite,
    NotWritable,
    classifications_text,
    columns_text,
    float_texts,
    regressions_text,
    rows_text,
)
from strongroom.tfserving.messages import ClassificationResult, RegressionResult
from strongroom.tfserving.signatures import Signature, TensorSpec
from strongroom.tfserving.status import State, VersionStatus
from strongroom.tfserving.tensors import BadTensor


def floats(*values):
    return DataType.DT_FLOAT, np.array(values, np.float32)


@pytest.mark.parametrize(
    ("number", "text"),
    [(2.5, "2.5"), (3, "3.0"), (9000000, "9e+06"), (717887168, "717887168.0"), (0.1, "0.1"), (1 / 3, "0.333333343"),
     (1e-7, "1e-07"), (-0.0, "-0.0"), (np.nan, "NaN"), (np.inf, "Infinity"), (-np.inf, "-Infinity"),
     (3.4028235e38, "3.40282347e+38")],
)  # fmt: skip
def test_float_text_is_the_shortest_that_reads_back(number, text):
    assert float_texts(np.array([number], np.float32)) == [text]


def test_double_text_needs_more_digits():
    assert columns_text({"y": (DataType.DT_DOUBLE, np.array([0.1, 1 / 3, 1e300]))}) == (
        '{"outputs": [0.1, 0.33333333333333331, 1e+300]}'
    )


def test_one_output_is_a_value_a_row():
    assert json.loads(rows_text({"y": floats(3.0, 3.5)})) == {"predictions": [3.0, 3.5]}
    matrix = DataType.DT_FLOAT, np.arange(6, dtype=np.float32).reshape(3, 2)
    assert json.loads(rows_text({"y": matrix})) == {"predictions": [[0, 1], [2, 3], [4, 5]]}


def test_several_outputs_are_an_object_a_row():
    answer = rows_text({"y": floats(1, 2), "n": (DataType.DT_INT64, np.array([[5], [6]]))})
    assert json.loads(answer) == {"predictions": [{"y": 1, "n": [5]}, {"y": 2, "n": [6]}]}


def test_columns_are_bare_or_named():
    assert json.loads(columns_text({"y": floats(1, 2)})) == {"outputs": [1, 2]}
    assert json.loads(columns_text({"y": (DataType.DT_FLOAT, np.float32(4.5).reshape(()))})) == {"outputs": 4.5}
    assert json.loads(columns_text({"y": floats(1), "z": (DataType.DT_BOOL, np.array([True]))})) == {
        "outputs": {"y": [1], "z": [True]}
    }


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3), (2, 0, 3), (2, 3, 0)])
def test_empty_arrays_keep_their_nesting(shape):
    value = DataType.DT_FLOAT, np.empty(shape, np.float32)
    assert json.loads(columns_text({"y": value})) == {"outputs": value[1].tolist()}
    assert json.loads(rows_text({"y": value})) == {"predictions": value[1].tolist()}


def test_strings_are_text_or_base64_by_name():
    strings = DataType.DT_STRING, np.array([b'a"\xc3\xa4'], object)
    assert json.loads(columns_text({"y": strings})) == {"outputs": ['a"ä']}
    assert json.loads(columns_text({"y_bytes": strings})) == {"outputs": [{"b64": "YSLDpA=="}]}
    with pytest.raises(BadTensor, match="_bytes"):
        columns_text({"y": (DataType.DT_STRING, np.array([b"\xff"], object))})


def test_rows_need_the_same_number():
    with pytest.raises(BadTensor) as caught:
        rows_text({"y": floats(1, 2), "z": floats(1)})
    assert caught.value.sentence == "Tensor name: z has inconsistent batch size: 1 expecting: 2"
    with pytest.raises(BadTensor) as caught:
        rows_text({"y": (DataType.DT_FLOAT, np.float32(1).reshape(()))})
    assert caught.value.sentence == "Tensor name: y has no shape information "


def test_types_without_json_are_refused():
    with pytest.raises(BadTensor, match="Failed to write JSON value for tensor type: half"):
        columns_text({"y": (DataType.DT_HALF, np.zeros(1, np.float16))})


@pytest.mark.parametrize("text", [rows_text, columns_text])
def test_numbers_that_json_has_no_word_for_are_nulls_or_an_error_where_one_wants_that(text):
    outputs = {"y": floats(1, np.nan, -np.inf)}
    assert "NaN, -Infinity" in text(outputs)
    assert next(iter(json.loads(text(outputs, NonFinite.NULL)).values())) == [1, None, None]
    with pytest.raises(NotWritable) as caught:
        text(outputs, NonFinite.ERROR)
    assert caught.value.code == "SR-REST-NAN"
    assert text({"y": floats(1, 2)}, NonFinite.ERROR) == text({"y": floats(1, 2)})
    strings = {"y": (DataType.DT_STRING, np.array([b"NaN"], object))}
    assert text(strings, NonFinite.ERROR) == text(strings)


def test_classifications_are_pairs_and_regressions_values():
    result = ClassificationResult()
    row = result.classifications.add()
    row.classes.add(label='a"', score=0.5)
    row.classes.add(score=float("nan"))
    result.classifications.add()
    assert classifications_text(result) == '{"results": [[["a\\"", 0.5], ["", NaN]], []]}'
    assert json.loads(classifications_text(result, NonFinite.NULL)) == {"results": [[['a"', 0.5], ["", None]], []]}
    values = RegressionResult()
    values.regressions.add(value=42)
    values.regressions.add(value=1e7)
    assert regressions_text(values) == '{"results": [42.0, 1e+07]}'


def test_status_is_printed_with_its_defaults():
    assert json.loads(status_json([VersionStatus(123, State.AVAILABLE)])) == {
        "model_version_status": [
            {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    ended = json.loads(status_json([VersionStatus(1, State.END, Code.DATA_LOSS, "cut")]))["model_version_status"][0]
    assert ended["status"] == {"error_code": "DATA_LOSS", "error_message": "cut"}


def test_metadata_equals_the_published_answer(shared_vectors):
    """The parts of TensorFlow Serving's own answer that concern serving_default, written by us, are equal."""
    published = json.loads(
        (
            shared_vectors
            / "tfserving/testdata/servables/tensorflow/testdata/half_plus_two_model_metadata.json"
        ).read_text()
    )  # fmt: skip
    signature = Signature(
        inputs={"x": TensorSpec(name="x:0", dtype=DataType.DT_FLOAT, shape=(-1, 1))},
        outputs={"y": TensorSpec(name="y:0", dtype=DataType.DT_FLOAT, shape=(-1, 1))},
    )
    text = TensorSpec(name="tf_example:0", dtype=DataType.DT_STRING, shape=None)
    ours = json.loads(metadata_json("default", 123, {"serving_default": signature}))
    theirs = published["metadata"]["signature_def"]["signature_def"]
    assert ours["model_spec"] == published["model_spec"]
    assert ours["metadata"]["signature_def"]["signature_def"]["serving_default"] == theirs["serving_default"]
    regress = Signature(inputs={"inputs": text}, outputs={}, method="tensorflow/serving/regress")
    ours = json.loads(metadata_json("default", 123, {"s": regress}))["metadata"]["signature_def"]["signature_def"]["s"]
    assert ours["inputs"] == theirs["regress_x_to_y"]["inputs"]
    assert ours["method_name"] == theirs["regress_x_to_y"]["method_name"]
