"""Lines and logistic curves say the same as ONNX; numbers that no model has are refused."""

import numpy as np
import onnxruntime
import pytest

from strongroom.analytics.learning import linear_onnx
from strongroom.analytics.learning.linear_onnx import NoOnnxLine

WEIGHTS, INTERCEPT = [0.5, -2.0, 1.25], 3.0
ROWS = np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)


def said(data):
    return onnxruntime.InferenceSession(data).run(None, {"input": ROWS})[0]


def test_predictions_are_the_same():
    wanted = ROWS @ np.array(WEIGHTS) + INTERCEPT
    assert np.allclose(said(linear_onnx.to_onnx(WEIGHTS, INTERCEPT))[:, 0], wanted, atol=1e-5)


def test_probabilities_of_both_answers_are_the_same():
    found = said(linear_onnx.to_onnx(np.array(WEIGHTS), INTERCEPT, logistic=True))
    assert np.allclose(found[:, 1], 1 / (1 + np.exp(-(ROWS @ np.array(WEIGHTS) + INTERCEPT))), atol=1e-5)
    assert np.allclose(found.sum(axis=1), 1)


def test_the_same_model_is_the_same_file():
    assert linear_onnx.to_onnx(WEIGHTS, INTERCEPT) == linear_onnx.to_onnx(WEIGHTS, INTERCEPT)


@pytest.mark.parametrize(
    ("weights", "intercept"),
    [([], 1.0), ([1.0, float("nan")], 1.0), ([1.0], float("inf")), ([1e300], 0.0)],
    ids=["none", "nan", "infinite", "too-large"],
)
def test_weights_that_no_model_has_are_refused(weights, intercept):
    with pytest.raises(NoOnnxLine) as refused:
        linear_onnx.to_onnx(weights, intercept)
    assert refused.value.code == "SR-LEARN-WEIGHTS"
