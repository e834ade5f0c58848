"""Small ONNX models, and what a queue's model is opened with."""

import pytest
from onnx import TensorProto, helper

from strongroom.clusterserving.config import QueueConfig


def half_plus(number, shape=("n",), kind=TensorProto.FLOAT):
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    more = helper.make_tensor("more", TensorProto.FLOAT, [], [float(number)])
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("Add", ["h", "more"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [half, more],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def picky():
    """Return a model that refuses rows of one value: it wants three in a row that it calls free."""
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "m"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("shape", TensorProto.INT64, [2], [-1, 3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.fixture
def models():
    """Return what makes models: `half_plus(number, shape)` and `picky()`."""
    return type("Models", (), {"half_plus": staticmethod(half_plus), "picky": staticmethod(picky)})


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes files into a model folder, by name and content."""

    def write(files, name="half"):
        place = tmp_path / name
        for path, content in files.items():
            target = place / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        place.mkdir(exist_ok=True)
        return place

    return write


@pytest.fixture
def config():
    """Return what makes a configuration."""
    return QueueConfig
