"""ResNet50 v1.5 as ONNX with random weights from a fixed seed, batch normalisation folded: speed only, no accuracy.

The strides are v1.5's: in the 3x3 convolution of a block, not in its first 1x1. Images come as TensorFlow's models take
them: float32 [N, 224, 224, 3].
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SEED: Final = 1234
CLASSES: Final = 1000
STAGES: Final = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, width, stride of the first


class Network:
    """Grows a graph; every method adds nodes and returns the name of their output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._random = np.random.default_rng(SEED)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401  # whatever ONNX attributes take
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def weight(self, *shape: int) -> str:
        """Return a weight of He's variance; a bias is small."""
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 10_000
        values = self._random.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / fan_in))
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, x: str, channels: tuple[int, int], size: int, stride: int = 1) -> str:
        weight, bias = self.weight(channels[1], channels[0], size, size), self.weight(channels[1])
        pads, sizes, strides = [size // 2] * 4, [size, size], [stride, stride]
        return self.add("Conv", x, weight, bias, kernel_shape=sizes, pads=pads, strides=strides)

    def block(self, x: str, wide: int, width: int, stride: int) -> str:
        """One bottleneck: 1x1, 3x3 with the stride, 1x1; a projection where the shape changes."""
        y = self.add("Relu", self.conv(x, (wide, width), 1))
        y = self.add("Relu", self.conv(y, (width, width), 3, stride))
        y = self.conv(y, (width, 4 * width), 1)
        short = x if wide == 4 * width else self.conv(x, (wide, 4 * width), 1, stride)
        return self.add("Relu", self.add("Add", y, short))


def resnet50() -> bytes:
    """Return the model: input `x` float32 [N, 224, 224, 3], output `y` float32 [N, 1000], 102 MB."""
    network = Network()
    x = network.add("Transpose", "x", perm=[0, 3, 1, 2])
    x = network.add("Relu", network.conv(x, (3, 64), 7, 2))
    x = network.add("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
    wide = 64
    for blocks, width, stride in STAGES:
        for index in range(blocks):
            x, wide = network.block(x, wide, width, stride if index == 0 else 1), 4 * width
    x = network.add("Flatten", network.add("GlobalAveragePool", x))
    x = network.add("Gemm", x, network.weight(CLASSES, wide), network.weight(CLASSES), transB=1)
    network.nodes.append(helper.make_node("Softmax", [x], ["y"], axis=-1))
    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 224, 224, 3])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])
    graph = helper.make_graph(network.nodes, "resnet50", [images], [answer], network.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
