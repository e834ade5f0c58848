"""Write a line or a logistic curve that MLlib has fitted as ONNX, in memory: a product, a sum, a curve. Pure.

Input `input` (rows x features), output `output`: predictions (rows x 1), or for a logistic curve the probabilities of 0
and 1 (rows x 2). The operators are those of opset 17 (https://onnx.ai/onnx/operators).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from strongroom.errors import BadInput

OPSET: Final = 17
IR_VERSION: Final = 8  # what belongs to opset 17; newer ones need newer engines
MAX_FEATURES: Final = 10_000_000
LARGEST: Final = 3.4e38  # of 32-bit numbers


class NoOnnxLine(BadInput):
    """Weights are none that a model can have."""

    code = "SR-LEARN-WEIGHTS"
    fix = "Give one finite weight for each feature, and a finite intercept, of a model that was fitted."


def to_onnx(weights: Sequence[float], intercept: float, *, logistic: bool = False) -> bytes:
    """Return a linear model as an ONNX file: model.coefficients and model.intercept of MLlib. Raises NoOnnxLine."""
    import onnx
    from onnx import TensorProto, helper

    found = [float(each) for each in weights]
    if not 0 < len(found) <= MAX_FEATURES or not all(abs(each) < LARGEST for each in (*found, intercept)):
        raise NoOnnxLine(f"there are {len(found)} weights, and no model has these")
    margin = "margin" if logistic else "output"
    nodes = [helper.make_node("MatMul", ["input", "weights"], ["product"]),
             helper.make_node("Add", ["product", "intercept"], [margin])]  # fmt: skip
    constants = [helper.make_tensor("weights", TensorProto.FLOAT, [len(found), 1], found),
                 helper.make_tensor("intercept", TensorProto.FLOAT, [1], [float(intercept)])]  # fmt: skip
    if logistic:
        constants.append(helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]))
        nodes += [helper.make_node("Sigmoid", ["margin"], ["yes"]), helper.make_node("Sub", ["one", "yes"], ["no"]),
                  helper.make_node("Concat", ["no", "yes"], ["output"], axis=1)]  # fmt: skip
    graph = helper.make_graph(
        nodes, "line",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", len(found)])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 2 if logistic else 1])],
        constants,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="strongroom")
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
