"""Which engine a model directory is for, and what its signatures are.

World: reads the directory; an ONNX model is opened once with ONNX Runtime to ask for its inputs and outputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from strongroom.bundles.manifest import Signature, TensorSpec
from strongroom.errors import BadInput

DEFAULT_SIGNATURE: Final = "serving_default"
ONNX_FILE: Final = "model.onnx"
SAVED_MODEL_FILE: Final = "saved_model.pb"
_DTYPES: Final = {
    "float": "float32", "double": "float64", "float16": "float16", "bfloat16": "bfloat16", "bool": "bool",
    "string": "string", "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64", "uint8": "uint8",
    "uint16": "uint16", "uint32": "uint32", "uint64": "uint64",
}  # fmt: skip


class NotAModel(BadInput):
    """A directory holds no model that can be served."""

    code = "SR-NOT-A-MODEL"
    fix = f"Name a directory with {ONNX_FILE} (ONNX) or {SAVED_MODEL_FILE} (TensorFlow SavedModel) at its top."


def detect(folder: Path) -> str:
    """Return the engine of a model directory: `onnx` or `tensorflow`."""
    onnx, saved_model = (folder / ONNX_FILE).is_file(), (folder / SAVED_MODEL_FILE).is_file()
    if not folder.is_dir():
        raise NotAModel(f"{folder} is no directory")
    if onnx and saved_model:
        raise NotAModel(f"{folder} holds both {ONNX_FILE} and {SAVED_MODEL_FILE}")
    if onnx:
        return "onnx"
    if saved_model:
        return "tensorflow"
    raise NotAModel(f"{folder} holds neither {ONNX_FILE} nor {SAVED_MODEL_FILE}")


def signatures_of(folder: Path, engine: str) -> dict[str, Signature]:
    """Return the signatures of a model; none for a SavedModel, whose engine reads them from the model itself."""
    return {DEFAULT_SIGNATURE: onnx_signature(folder / ONNX_FILE)} if engine == "onnx" else {}


def onnx_signature(path: Path) -> Signature:
    """Return the inputs and outputs of an ONNX model; raise `NotAModel` if ONNX Runtime cannot load it."""
    from strongroom.bundles.onnx_runtime import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # the error says it
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # only asked, never run
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # noqa: BLE001  # its exception classes share no base but Exception
        raise NotAModel(f"{path.name} cannot be loaded: {str(problem)[:200]}") from None
    return Signature(
        inputs={tensor.name: _spec(tensor) for tensor in session.get_inputs()},
        outputs={tensor.name: _spec(tensor) for tensor in session.get_outputs()},
    )


def _spec(tensor: Any) -> TensorSpec:  # noqa: ANN401  # onnxruntime has no types
    element = str(tensor.type).removeprefix("tensor(").removesuffix(")")
    if element not in _DTYPES:
        raise NotAModel(f"{tensor.name} is a {tensor.type}, not a tensor that can be served")
    return TensorSpec(
        dtype=_DTYPES[element], shape=tuple(size if isinstance(size, int) else -1 for size in tensor.shape)
    )
