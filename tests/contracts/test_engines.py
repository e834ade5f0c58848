"""One suite for every engine: ONNX Runtime over bytes, and a twin in memory that is as simple as can be."""

from types import MappingProxyType

import numpy as np
import pytest
from onnx import TensorProto, helper

from strongroom.serving.engines import EngineOptions, MemoryFiles, load
from strongroom.serving.status import BadRequest
from strongroom.tfserving import DataType, Signature, TensorSpec


class MemoryEngine:
    """x/2 + 2 and the same strings, in numpy."""

    signatures = MappingProxyType({
        "serving_default": Signature(
            inputs={"x": TensorSpec(name="x", dtype=DataType.DT_FLOAT, shape=(-1, 2)),
                    "s": TensorSpec(name="s", dtype=DataType.DT_STRING, shape=None)},
            outputs={"y": TensorSpec(name="y", dtype=DataType.DT_FLOAT, shape=(-1, 2)),
                     "t": TensorSpec(name="t", dtype=DataType.DT_STRING, shape=None)},
        )
    })  # fmt: skip

    def run(self, signature, inputs, outputs):
        x = inputs["x"]
        if x.ndim != 2 or x.shape[1] != 2:
            raise BadRequest(f"x has the shape {x.shape}")
        results = {"y": x * np.float32(0.5) + np.float32(2), "t": inputs["s"]}
        return {name: results[name] for name in outputs}

    def close(self):
        """Nothing is held."""


def onnx_engine():
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    two = helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("Add", ["h", "two"], ["y"]),
         helper.make_node("Identity", ["s"], ["t"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2]),
         helper.make_tensor_value_info("s", TensorProto.STRING, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2]),
         helper.make_tensor_value_info("t", TensorProto.STRING, None)],
        [half, two],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return load("onnx", MemoryFiles({"model.onnx": model}), EngineOptions(intra_op_threads=1))


@pytest.fixture(params=[MemoryEngine, onnx_engine])
def engine(request):
    made = request.param()
    yield made
    made.close()


def strings(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_the_default_signature_names_types_and_shapes(engine):
    signature = engine.signatures["serving_default"]
    assert {name: (spec.dtype, spec.shape) for name, spec in signature.inputs.items()} == {
        "x": (DataType.DT_FLOAT, (-1, 2)),
        "s": (DataType.DT_STRING, None),
    }
    assert set(signature.outputs) == {"y", "t"}


def test_a_run_gives_the_outputs_that_were_asked_for(engine):
    x = np.array([[1, 2], [3, 4]], np.float32)
    results = engine.run("serving_default", {"x": x, "s": strings(b"a")}, ["y"])
    assert set(results) == {"y"}
    assert results["y"].dtype == np.float32
    assert results["y"].tolist() == [[2.5, 3.0], [3.5, 4.0]]


def test_strings_are_bytes_both_ways(engine):
    results = engine.run("serving_default", {"x": np.zeros((1, 2), np.float32), "s": strings("ä".encode(), b"")}, ["t"])
    assert results["t"].tolist() == ["ä".encode(), b""]
    assert results["t"].dtype == object


def test_inputs_may_be_read_only_and_empty(engine):
    x = np.frombuffer(bytes(16), np.float32).reshape(2, 2)
    assert engine.run("serving_default", {"x": x, "s": strings()}, ["y", "t"])["y"].tolist() == [[2, 2], [2, 2]]
    assert engine.run("serving_default", {"x": np.zeros((0, 2), np.float32), "s": strings()}, ["y"])["y"].shape == (
        0,
        2,
    )


def test_shapes_that_the_model_does_not_take_are_the_callers_fault(engine):
    with pytest.raises(BadRequest) as caught:
        engine.run("serving_default", {"x": np.zeros(3, np.float32), "s": strings()}, ["y"])
    assert caught.value.code == "SR-SERVE-ARGUMENT"


def test_a_failed_run_spoils_nothing(engine):
    with pytest.raises(BadRequest):
        engine.run("serving_default", {"x": np.zeros(3, np.float32), "s": strings()}, ["y"])
    assert engine.run("serving_default", {"x": np.zeros((1, 2), np.float32), "s": strings()}, ["y"])["y"].shape == (
        1,
        2,
    )
