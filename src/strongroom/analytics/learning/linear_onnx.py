"""Write a line or a logistic curve that MLlib has fitted as ONNX, in memory: a product, a sum, a curve. Pure.

The operators are those of https://onnx.ai/onnx/operators; `onnx_file` has its input and output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from strongroom.analytics.learning import onnx_file
from strongroom.errors import BadInput

MAX_FEATURES: Final = 10_000_000
LARGEST: Final = 3.4e38  # of 32-bit numbers


class NoOnnxLine(BadInput):
    """Weights are none that a model can have."""

    code = "SR-LEARN-WEIGHTS"
    fix = "Give one finite weight for each feature, and a finite intercept, of a model that was fitted."


def to_onnx(weights: Sequence[float], intercept: float, *, logistic: bool = False) -> bytes:
    """Return a linear model as an ONNX file: model.coefficients and model.intercept of MLlib. Raises NoOnnxLine."""
    from onnx import TensorProto, helper

    found = [float(each) for each in weights]
    if not 0 < len(found) <= MAX_FEATURES or not all(abs(each) < LARGEST for each in (*found, intercept)):
        raise NoOnnxLine(f"there are {len(found)} weights, and no model has these")
    nodes = [helper.make_node("MatMul", ["input", "weights"], ["product"]),
             helper.make_node("Add", ["product", "intercept"], [onnx_file.result(logistic=logistic)])]  # fmt: skip
    constants = [helper.make_tensor("weights", TensorProto.FLOAT, [len(found), 1], found),
                 helper.make_tensor("intercept", TensorProto.FLOAT, [1], [float(intercept)])]  # fmt: skip
    return onnx_file.to_bytes("line", nodes, constants, columns=len(found), logistic=logistic)
