"""The models, as ONNX files in TensorFlow Serving's folders, and what each is asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from serving.resnet50 import resnet50

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """A served model: `x` is what every request asks, `shape` one example for peers that want it, threads of a run."""

    name: str
    title: str
    x: Floats
    batched: bool
    threads: int
    connections: int
    streams: int

    @property
    def example_shape(self) -> tuple[int, ...]:
        """The shape of one example, for peers that are told."""
        return self.x.shape[1:] if self.batched else self.x.shape

    @cached_property
    def onnx(self) -> bytes:
        """The model itself."""
        return {"tiny": half_plus_two, "image": mean, "resnet50": resnet50, "json": mean_of_row, "json-image": mean}[
            self.name
        ]()

    def write(self, folder: Path) -> Path:
        """Write version 1 below `folder` and return the model's folder."""
        version = folder / self.name / "1"
        version.mkdir(parents=True, exist_ok=True)
        (version / "model.onnx").write_bytes(self.onnx)
        return version.parent

    def expected(self) -> Floats:
        """Return what the engine itself answers, called in this process."""
        found: Floats = session(self).run(["y"], {"x": self.x})[0]
        return found


def session(model: Model) -> Any:  # noqa: ANN401  # onnxruntime has no types
    """Return the engine in this process, with the threads and options that our server gives it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = model.threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.onnx, options, providers=["CPUExecutionProvider"])


def _pixels(seed: int) -> Floats:
    return np.random.default_rng(seed).integers(0, 255, (1, 224, 224, 3)).astype(np.float32)


TINY: Final = Model("tiny", "half_plus_two, 3 floats", np.array([1, 2, 5], np.float32), False, 1, 8, 8)
IMAGE: Final = Model("image", "602 KB tensor, mean", _pixels(1), True, 1, 4, 2)
RESNET50: Final = Model("resnet50", "ResNet50 v1.5 fp32", _pixels(2) / np.float32(255), True, 2, 4, 2)
_FRACTIONS: Final = np.random.default_rng(3).random((1, 150_528), np.float32)
JSON: Final = Model("json", "150k floats in one list", _FRACTIONS, True, 1, 2, 1)
JSON_IMAGE: Final = Model("json-image", "150k floats of an image", _FRACTIONS.reshape(1, 224, 224, 3), True, 1, 2, 1)
JSON_MODELS: Final = (JSON, JSON_IMAGE)
GRPC_MODELS: Final = (TINY, IMAGE, RESNET50)


def half_plus_two() -> bytes:
    """Return y = x / 2 + 2, any shape."""
    half, two = (helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in (("half", 0.5), ("two", 2.0)))
    nodes = [helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("Add", ["h", "two"], ["y"])]
    return _model(nodes, None, None, [half, two])


def mean() -> bytes:
    """Return the mean of each channel of each image."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2], keepdims=0)]
    return _model(nodes, ["n", 224, 224, 3], ["n", 3], [])


def mean_of_row() -> bytes:
    """Return the mean of each row."""
    return _model([helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=0)], ["n", "m"], ["n"], [])


def _model(nodes: list[Any], takes: list[Any] | None, gives: list[Any] | None, constants: list[Any]) -> bytes:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", takes), ("y", gives)))
    graph = helper.make_graph(nodes, "bench", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
