"""A model whose answer names its version, and the ways in which a version comes into a folder."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from onnx import TensorProto, helper


def half_plus(version: int) -> bytes:
    """Return x/2 + version as ONNX: an answer that another version gave is seen in the value."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("Add", ["h", "more"], ["y"])],
        "half_plus",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])],
        [
            helper.make_tensor("half", TensorProto.FLOAT, [], [0.5]),
            helper.make_tensor("more", TensorProto.FLOAT, [], [float(version)]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def put_whole(base: Path, version: int, model: bytes) -> None:
    """Put a version into place in one step."""
    temporary = base.parent / f".{base.name}-{version}"
    temporary.mkdir(parents=True)
    (temporary / "model.onnx").write_bytes(model)
    temporary.rename(base / str(version))


def put_slowly(base: Path, version: int, model: bytes, *, pause_s: float) -> None:
    """Copy a version in small pieces, as a slow upload does: whoever loads it before its end has half a model."""
    folder = base / str(version)
    folder.mkdir()
    with (folder / "model.onnx").open("wb") as file:
        for begin in range(0, len(model), 64):
            file.write(model[begin : begin + 64])
            file.flush()
            time.sleep(pause_s)


def remove(base: Path, version: int) -> None:
    """Take a version away in one step."""
    gone = base.parent / f".gone-{base.name}-{version}"
    (base / str(version)).rename(gone)
    shutil.rmtree(gone)
