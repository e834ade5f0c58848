"""Write a trained Keras model as ONNX, in memory: what a model server runs, without a plain file on the way. Pure.

Inputs and outputs are called `input` and `output` unless named; the first dimension is the batch, of any length.
"""

from __future__ import annotations

from typing import Any, Final

from strongroom.analytics.learning import needed
from strongroom.errors import BadInput

OPSET: Final = 17
_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})


class NoOnnxModel(BadInput):
    """A trained model cannot be written as ONNX."""

    code = "SR-LEARN-ONNX"
    fix = "Use one input, one output and ordinary layers, or keep the model's parameters (get_weights)."


def to_onnx(model: Any, *, input_name: str = "input", output_name: str = "output") -> bytes:  # noqa: ANN401
    """Return a Keras model of one input and one output as an ONNX file. Raises NoOnnxModel, LearningNotInstalled."""
    tf, converter = needed.tensorflow(), needed.tf2onnx()
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise NoOnnxModel(f"the model has {len(model.inputs)} inputs and {len(model.outputs)} outputs")
    taken = tf.TensorSpec(model.inputs[0].shape, tf.float32, name=input_name)

    @tf.function(input_signature=[taken])  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def answer(features: Any) -> Any:  # noqa: ANN401
        return tf.identity(model(features, training=False), name=output_name)

    try:
        found, _ = converter.convert.from_function(answer, input_signature=[taken], opset=OPSET)
    except Exception as problem:  # noqa: BLE001  # tf2onnx raises whatever its rules raise
        raise NoOnnxModel(f"it cannot be written as ONNX: {str(problem).splitlines()[:1]}") from None
    unknown = {node.op_type for node in found.graph.node if node.domain not in _DOMAINS}
    if unknown:
        raise NoOnnxModel(f"ONNX has nothing for {', '.join(sorted(unknown))[:200]}")
    _rename(found.graph, input_name, output_name)
    data: bytes = found.SerializeToString(deterministic=True)
    return data


def _rename(graph: Any, input_name: str, output_name: str) -> None:  # noqa: ANN401
    """Give the graph's input and output the names that were asked for: tf2onnx gives its own to some."""
    new = {graph.input[0].name: input_name, graph.output[0].name: output_name}
    graph.input[0].name, graph.output[0].name = input_name, output_name
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
