"""An ONNX file that answers with a number, or with the probabilities of no and yes, from one row of numbers. Pure.

Input `input` (rows x features), output `output`: predictions (rows x 1), or for a logistic curve the probabilities of 0
and 1 (rows x 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

OPSET: Final = 17
IR_VERSION: Final = 8  # what belongs to opset 17; newer ones need newer engines


def result(*, logistic: bool) -> str:
    """Return what a model's last node has to call its number for each row."""
    return "margin" if logistic else "output"


def to_bytes(
    name: str,
    nodes: Sequence[NodeProto],
    constants: Sequence[TensorProto],
    *,
    columns: int,
    logistic: bool,
    domains: Mapping[str, int] | None = None,
) -> bytes:
    """Return the file; `logistic` puts the curve behind the nodes. `domains`: operators' versions besides ONNX' own."""
    import onnx
    from onnx import TensorProto, helper

    nodes, constants = list(nodes), list(constants)
    if logistic:
        constants.append(helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]))
        nodes += [helper.make_node("Sigmoid", ["margin"], ["yes"]), helper.make_node("Sub", ["one", "yes"], ["no"]),
                  helper.make_node("Concat", ["no", "yes"], ["output"], axis=1)]  # fmt: skip
    graph = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", columns])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 2 if logistic else 1])],
        constants,
    )  # fmt: skip
    opsets = [helper.make_opsetid(domain, version) for domain, version in {"": OPSET, **(domains or {})}.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="strongroom")
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
