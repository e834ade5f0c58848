"""Write a trained XGBoost model as ONNX, in memory: its trees as one TreeEnsembleRegressor. Pure.

XGBoost goes left where a value is less than the split, compares 32-bit numbers, and sends what is missing where the
node says; so does the operator (https://onnx.ai/onnx/operators). `onnx_file` has the file's input and output.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import numpy as np

from strongroom.analytics.learning import onnx_file
from strongroom.errors import BadInput

DOMAIN: Final = "ai.onnx.ml"
VERSION: Final = 3  # of its operators
IDENTITY: Final = frozenset({"reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror"})
LOGISTIC: Final = frozenset({"binary:logistic", "reg:logistic"})
_LEAF: Final = -1


class NoOnnxTrees(BadInput):
    """A trained XGBoost model cannot be written as ONNX."""

    code = "SR-LEARN-TREES"
    fix = "Train gbtree with reg:squarederror or binary:logistic and numeric columns, or keep XGBoost's own format."


def to_onnx(booster: Any) -> bytes:  # noqa: ANN401  # XGBoost's Booster
    """Return a booster as an ONNX file. Raises NoOnnxTrees."""
    from onnx import helper

    learner = json.loads(booster.save_raw("json"))["learner"]
    objective = learner["objective"]["name"]
    if learner["gradient_booster"]["name"] != "gbtree" or objective not in IDENTITY | LOGISTIC:
        raise NoOnnxTrees(f"{learner['gradient_booster']['name']} with {objective} is not written as ONNX")
    logistic = objective in LOGISTIC
    attributes = _attributes(learner["gradient_booster"]["model"]["trees"])
    attributes["base_values"] = [_base(learner["learner_model_param"]["base_score"], logistic=logistic)]
    margin = onnx_file.result(logistic=logistic)
    trees = helper.make_node("TreeEnsembleRegressor", ["input"], [margin], domain=DOMAIN, **attributes)
    columns = int(learner["learner_model_param"]["num_feature"])
    return onnx_file.to_bytes("trees", [trees], [], columns=columns, logistic=logistic, domains={DOMAIN: VERSION})


def _base(text: str, *, logistic: bool) -> float:
    """Return what all trees add to: XGBoost writes it as a prediction, in brackets since version 3.1."""
    values = json.loads(text) if text.startswith("[") else [float(text)]
    if len(values) != 1:
        raise NoOnnxTrees(f"the model has {len(values)} targets")
    value = float(values[0])
    return math.log(value / (1 - value)) if logistic else value


def _attributes(trees: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the operator's attributes: all nodes of all trees in parallel lists, and the leaves' weights."""
    nodes: dict[str, list[Any]] = {f"nodes_{name}": [] for name in (
        "treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids",
        "missing_value_tracks_true")}  # fmt: skip
    leaves: dict[str, list[Any]] = {f"target_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate(trees):
        if any(tree["split_type"]):
            raise NoOnnxTrees("the model splits by categories")
        left = tree["left_children"]
        inner = [child != _LEAF for child in left]
        conditions = np.asarray(tree["split_conditions"], dtype=np.float32).tolist()
        nodes["nodes_treeids"] += [number] * len(left)
        nodes["nodes_nodeids"] += range(len(left))
        columns = zip(tree["split_indices"], inner, strict=True)
        nodes["nodes_featureids"] += [column if goes_on else 0 for column, goes_on in columns]
        nodes["nodes_values"] += [value if goes_on else 0.0 for value, goes_on in zip(conditions, inner, strict=True)]
        nodes["nodes_modes"] += ["BRANCH_LT" if goes_on else "LEAF" for goes_on in inner]
        nodes["nodes_truenodeids"] += [max(child, 0) for child in left]
        nodes["nodes_falsenodeids"] += [max(child, 0) for child in tree["right_children"]]
        nodes["nodes_missing_value_tracks_true"] += [int(goes) for goes in tree["default_left"]]
        ends = [node for node, goes_on in enumerate(inner) if not goes_on]
        leaves["target_treeids"] += [number] * len(ends)
        leaves["target_nodeids"] += ends
        leaves["target_ids"] += [0] * len(ends)
        leaves["target_weights"] += [conditions[node] for node in ends]
    return {**nodes, **leaves, "n_targets": 1}
