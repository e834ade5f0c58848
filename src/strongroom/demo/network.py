"""Describe EfficientNet-Lite0 as an ONNX servable: photographs in, class probabilities out.

Source: spec `real-components.md` 8.1 for the architecture. Batch normalisation is folded into the convolutions in
float64; pixel scaling and the step from NHWC to NCHW are inside the graph, so that clients send RGB 0..255 as they
would to the reference ResNet-50.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from strongroom.client.extras import locate

Array = np.ndarray[Any, np.dtype[Any]]

INPUT_NAME: Final = "input"
OUTPUT_NAME: Final = "predict"
IMAGE_SIDE: Final = 224
CLASSES: Final = 1000
_OPSET: Final = 13
_IR_VERSION: Final = 8
_BATCH_NORM_EPSILON: Final = 1e-3


@dataclass(frozen=True, slots=True)
class _Stage:
    """A row of the architecture table: how often, kernel, stride of the first block, expansion, output channels."""

    repeat: int
    kernel: int
    stride: int
    expand: int
    out: int


_STEM_CHANNELS: Final = 32
_STAGES: Final = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class _Graph:
    """Collects nodes and constants; every method returns the name of the tensor it made."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        from onnx import helper, numpy_helper

        self._make_node: Any = helper.make_node
        self._to_tensor = numpy_helper.from_array
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Array) -> str:
        self.constants.append(self._to_tensor(value, name))
        return name

    def node(self, kind: str, inputs: list[str], output: str | None = None, **attributes: int | str | list[int]) -> str:
        made = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self._make_node(kind, inputs, [made], name=made, **attributes))
        return made

    def convolution(self, value: str, weight: str, norm: str, *, stride: int = 1, act: bool, depthwise: bool) -> str:
        """Add a bias-free convolution with its batch normalisation folded in, and ReLU6 where `act`."""
        kernel, bias = _fold(self.weights, weight, norm)
        side = kernel.shape[2]
        made = self.node(
            "Conv",
            [value, self.constant(f"{weight}.folded", kernel), self.constant(f"{norm}.folded", bias)],
            auto_pad="SAME_UPPER",
            group=kernel.shape[0] if depthwise else 1,
            kernel_shape=[side, side],
            strides=[stride, stride],
        )
        return self.node("Clip", [made, "zero", "six"]) if act else made

    def block(self, value: str, prefix: str, stage: _Stage, *, stride: int, channels: int) -> str:
        """Add one inverted-residual block."""
        inner = value
        if stage.expand != 1:
            inner = self.convolution(inner, f"{prefix}._expand_conv", f"{prefix}._bn0", act=True, depthwise=False)
        inner = self.convolution(
            inner, f"{prefix}._depthwise_conv", f"{prefix}._bn1", stride=stride, act=True, depthwise=True
        )
        inner = self.convolution(inner, f"{prefix}._project_conv", f"{prefix}._bn2", act=False, depthwise=False)
        return self.node("Add", [inner, value]) if stride == 1 and channels == stage.out else inner


def build(weights: Mapping[str, Array]) -> bytes:
    """Return the ONNX model: `input` float32 [batch, 224, 224, 3] to `predict` float32 [batch, 1000].

    Raises MissingExtra when the package `onnx` is not installed.
    """
    locate("onnx", extra="demo")
    from onnx import TensorProto, checker, helper

    graph = _Graph(weights)
    logits = _layers(graph)
    graph.node("Softmax", [logits], OUTPUT_NAME, axis=1)
    image = helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["batch", IMAGE_SIDE, IMAGE_SIDE, 3])
    answer = helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["batch", CLASSES])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "efficientnet-lite0", [image], [answer], graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        producer_name="strongroom",
        ir_version=_IR_VERSION,
    )
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _layers(graph: _Graph) -> str:
    for name, number in (("zero", 0), ("six", 6), ("middle", 127), ("scale", 1 / 128)):
        graph.constant(name, np.array(number, dtype=np.float32))
    value = graph.node("Mul", [graph.node("Sub", [INPUT_NAME, "middle"]), "scale"])
    value = graph.node("Transpose", [value], perm=[0, 3, 1, 2])
    value = graph.convolution(value, "_conv_stem", "_bn0", stride=2, act=True, depthwise=False)
    channels, index = _STEM_CHANNELS, 0
    for stage in _STAGES:
        for turn in range(stage.repeat):
            stride = stage.stride if turn == 0 else 1
            value = graph.block(value, f"_blocks.{index}", stage, stride=stride, channels=channels)
            channels, index = stage.out, index + 1
    value = graph.convolution(value, "_conv_head", "_bn1", act=True, depthwise=False)
    value = graph.node("Flatten", [graph.node("GlobalAveragePool", [value])])
    matrix = graph.constant("_fc.weight", graph.weights["_fc.weight"])
    return graph.node("Gemm", [value, matrix, graph.constant("_fc.bias", graph.weights["_fc.bias"])], transB=1)


def _fold(weights: Mapping[str, Array], convolution: str, norm: str) -> tuple[Array, Array]:
    """Return kernel and bias of a convolution followed by its batch normalisation, folded in float64."""
    gain, shift, mean, variance = (
        weights[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gain / np.sqrt(variance + _BATCH_NORM_EPSILON)
    kernel = weights[f"{convolution}.weight"].astype(np.float64) * factor[:, None, None, None]
    return kernel.astype(np.float32), (shift - mean * factor).astype(np.float32)
