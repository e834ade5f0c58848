"""XGBoost's trees say the same as ONNX, missing values included; what would not is refused."""

import numpy as np
import onnxruntime
import pytest
import xgboost

from strongroom.analytics.learning import trees_onnx
from strongroom.analytics.learning.trees_onnx import NoOnnxTrees


def trained(objective="reg:squarederror", **more):
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(400, 5)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    target = np.nan_to_num(rows[:, 0]) * 2 + np.nan_to_num(rows[:, 1]) ** 2
    label = (target > 1).astype(float) if "logistic" in objective else target + 10
    options = {"objective": objective, "max_depth": 4, "nthread": 1, "verbosity": 0, **more}
    return xgboost.train(options, xgboost.DMatrix(rows, label), num_boost_round=12), rows


def said(data, rows):
    return onnxruntime.InferenceSession(data).run(None, {"input": rows})[0]


@pytest.mark.parametrize(
    "more", [{}, {"base_score": 3.0}, {"max_depth": 0, "max_leaves": 1}], ids=["usual", "base", "stump"]
)
def test_predictions_are_the_same(more):
    booster, rows = trained(**more)
    assert np.allclose(said(trees_onnx.to_onnx(booster), rows)[:, 0], booster.predict(xgboost.DMatrix(rows)), atol=1e-4)


def test_probabilities_of_both_answers_are_the_same():
    booster, rows = trained("binary:logistic")
    found = said(trees_onnx.to_onnx(booster), rows)
    assert np.allclose(found[:, 1], booster.predict(xgboost.DMatrix(rows)), atol=1e-5)
    assert np.allclose(found.sum(axis=1), 1)


def test_the_same_model_is_the_same_file():
    assert trees_onnx.to_onnx(trained()[0]) == trees_onnx.to_onnx(trained()[0])


@pytest.mark.parametrize("more", [{"booster": "gblinear"}, {"objective": "count:poisson"}], ids=["linear", "counts"])
def test_another_kind_of_model_is_refused(more):
    with pytest.raises(NoOnnxTrees) as refused:
        trees_onnx.to_onnx(trained(**more)[0])
    assert refused.value.code == "SR-LEARN-TREES"


def test_a_model_that_splits_by_categories_is_refused():
    rng = np.random.default_rng(3)
    column = rng.integers(0, 6, 300)
    data = xgboost.DMatrix(column[:, None], (column % 2).astype(float), feature_types=["c"], enable_categorical=True)
    booster = xgboost.train({"max_depth": 2, "nthread": 1, "max_cat_to_onehot": 1}, data, num_boost_round=2)
    with pytest.raises(NoOnnxTrees):
        trees_onnx.to_onnx(booster)


def test_a_model_of_several_targets_is_refused():
    rows = np.random.default_rng(4).normal(size=(100, 3))
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, rows[:, :2] + 1), num_boost_round=2)
    with pytest.raises(NoOnnxTrees):
        trees_onnx.to_onnx(booster)
