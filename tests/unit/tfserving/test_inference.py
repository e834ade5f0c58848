"""Classification and regression: which signatures are for it, and what their outputs have to be."""

import numpy as np
import pytest

from strongroom.tfserving import DataType, Signature, TensorSpec
from strongroom.tfserving.inference import (
    BadInference,
    classification_outputs,
    classification_result,
    regression_outputs,
    regression_result,
)

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def signature(inputs="inputs", outputs="scores", method=CLASSIFY):
    def specs(names):
        return {name: TensorSpec(name=f"{name}:0", dtype=DataType.DT_FLOAT, shape=None) for name in names.split()}

    return Signature(inputs=specs(inputs), outputs=specs(outputs), method=method)


def refusal(call, *arguments, **named):
    with pytest.raises(BadInference) as caught:
        call(*arguments, **named)
    assert caught.value.code == "SR-INFERENCE"
    return caught.value.sentence


@pytest.mark.parametrize(
    ("outputs", "chosen"), [("scores", ["scores"]), ("classes", ["classes"]), ("scores classes", ["classes", "scores"]),
                            ("scores other", ["scores"])],
)  # fmt: skip
def test_classification_computes_classes_and_scores(outputs, chosen):
    assert classification_outputs(signature(outputs=outputs), check_method=True) == chosen


@pytest.mark.parametrize(
    ("given", "text"),
    [(signature(method=REGRESS),
      f"Expected classification signature method_name to be {CLASSIFY}. Was: {REGRESS}"),
     (signature(inputs="inputs more"), "Expected one input Tensor."),
     (signature(inputs=""), "Expected one input Tensor."),
     (signature(outputs=""), "Expected one or two output Tensors, found 0"),
     (signature(outputs="a b c"), "Expected one or two output Tensors, found 3"),
     (signature(inputs="x"), "No classification inputs found in SignatureDef: inputs {\n  key: \"x\""),
     (signature(outputs="y"),
      'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: ')],
)  # fmt: skip
def test_what_is_not_for_classification_is_refused(given, text):
    assert refusal(classification_outputs, given, check_method=True).startswith(text)


@pytest.mark.parametrize(
    ("given", "text"),
    [(signature(outputs="outputs"), f"Expected regression signature method_name to be {REGRESS}. Was: {CLASSIFY}"),
     (signature(inputs="inputs more", method=REGRESS), "Expected one input Tensor."),
     (signature(outputs="a b", method=REGRESS), "Expected one output Tensor."),
     (signature(inputs="x", method=REGRESS), "No regression inputs found in SignatureDef: "),
     (signature(outputs="y", method=REGRESS), "No regression outputs found in SignatureDef: ")],
)  # fmt: skip
def test_what_is_not_for_regression_is_refused(given, text):
    assert refusal(regression_outputs, given, check_method=True).startswith(text)


def test_the_method_is_looked_at_only_where_one_wants_that():
    assert classification_outputs(signature(method=REGRESS), check_method=False) == ["scores"]
    assert regression_outputs(signature(outputs="outputs"), check_method=False) == ["outputs"]


def floats(*rows):
    return DataType.DT_FLOAT, np.array(rows, np.float32)


def strings(*rows):
    return DataType.DT_STRING, np.array(rows, object)


def pairs(result):
    return [[(each.label, each.score) for each in row.classes] for row in result.classifications]


def test_labels_and_scores_are_paired():
    both = {"classes": strings([b"a", b"\xff"], [b"c", b"d"]), "scores": floats([0.5, 1], [2, 3])}
    assert pairs(classification_result(both, 2)) == [[("a", 0.5), ("\ufffd", 1)], [("c", 2), ("d", 3)]]
    assert pairs(classification_result({"scores": floats([0.5], [1])}, 2)) == [[("", 0.5)], [("", 1)]]
    assert pairs(classification_result({"classes": strings([b"a"])}, 1)) == [[("a", 0)]]


@pytest.mark.parametrize(
    ("outputs", "text"),
    [({"scores": floats(1, 2)}, "Expected Tensor shape: [batch_size num_classes] but got [2]"),
     ({"classes": strings(b"a")}, "Expected Tensor shape: [batch_size num_classes] but got [1]"),
     ({"scores": (DataType.DT_DOUBLE, np.zeros((2, 1)))}, "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
     ({"classes": floats([1], [2])}, "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
     ({"scores": floats([1], [2], [3])}, "Expected scores output batch size of 2. Got: 3"),
     ({"classes": strings([b"a"])}, "Expected classes output batch size of 2. Got: 1"),
     ({"classes": strings([b"a"], [b"b"]), "scores": floats([1, 2], [3, 4])},
      "Tensors class and score should match in dim_size(1). Got 1 vs. 2")],
)  # fmt: skip
def test_outputs_that_are_no_classification_are_refused(outputs, text):
    assert refusal(classification_result, outputs, 2) == text


@pytest.mark.parametrize("values", [floats(3.0, 42.0), floats([3.0], [42.0])])
def test_regression_takes_a_vector_or_a_column(values):
    assert [each.value for each in regression_result({"outputs": values}, 2).regressions] == [3.0, 42.0]


@pytest.mark.parametrize(
    ("values", "text"),
    [(floats([1, 2], [3, 4]),
      "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]"),
     ((DataType.DT_FLOAT, np.zeros((), np.float32)),
      "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got []"),
     (floats(1, 2, 3), "Input batch size did not match output batch size: 2 vs. 3"),
     ((DataType.DT_INT64, np.zeros(2, np.int64)), "Expected output Tensor of DT_FLOAT.  Got: DT_INT64")],
)  # fmt: skip
def test_outputs_that_are_no_regression_are_refused(values, text):
    assert refusal(regression_result, {"outputs": values}, 2) == text
