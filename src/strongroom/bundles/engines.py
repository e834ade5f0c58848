"""Which engine a model directory is for, and what its signatures are.

World: reads the directory. An ONNX model is opened once with ONNX Runtime to ask for its inputs and outputs; a
SavedModel's signatures are read without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from strongroom.bundles.manifest import Signature, TensorSpec
from strongroom.errors import BadInput
from strongroom.pki import disk

if TYPE_CHECKING:
    from strongroom.tfserving.signatures import TensorSpec as GraphTensor

DEFAULT_SIGNATURE: Final = "serving_default"
ONNX_FILE: Final = "model.onnx"
SAVED_MODEL_FILE: Final = "saved_model.pb"
OPENVINO_FILE: Final = "model.xml"
MAX_GRAPH_BYTES: Final = 2**31 - 1  # what protobuf can hold
SERVE: Final = frozenset({"serve"})  # the tags of the graph that TensorFlow Serving loads unless told otherwise
_FILES: Final = {"onnx": ONNX_FILE, "tensorflow": SAVED_MODEL_FILE, "openvino": OPENVINO_FILE}
_DTYPES: Final = {
    "float": "float32", "double": "float64", "float16": "float16", "bfloat16": "bfloat16", "bool": "bool",
    "string": "string", "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64", "uint8": "uint8",
    "uint16": "uint16", "uint32": "uint32", "uint64": "uint64",
}  # fmt: skip
_TENSORFLOW_WORDS: Final = {"float": "float32", "double": "float64", "half": "float16"}


class NotAModel(BadInput):
    """A directory holds no model that can be served."""

    code = "SR-NOT-A-MODEL"
    fix = f"Name a directory with {ONNX_FILE} (ONNX) or {SAVED_MODEL_FILE} (TensorFlow SavedModel) at its top."


def detect(folder: Path) -> str:
    """Return the engine of a model directory: `onnx`, `tensorflow` or `openvino`. Raises NotAModel."""
    if not folder.is_dir():
        raise NotAModel(f"{folder} is no directory")
    found = [engine for engine, name in _FILES.items() if (folder / name).is_file()]
    if len(found) > 1:
        raise NotAModel(f"{folder} holds both {_FILES[found[0]]} and {_FILES[found[1]]}")
    if not found:
        raise NotAModel(f"{folder} holds neither {ONNX_FILE} nor {SAVED_MODEL_FILE}")
    return found[0]


def signatures_of(folder: Path, engine: str) -> dict[str, Signature]:
    """Return the signatures of a model; none for OpenVINO's form, whose engine reads them from the model itself.

    Raises NotAModel, BadSavedModel, BadOnnxSignatures or FileTooLong.
    """
    if engine == "onnx":
        return onnx_signatures(folder / ONNX_FILE)
    return saved_model_signatures(folder / SAVED_MODEL_FILE) if engine == "tensorflow" else {}


def saved_model_signatures(path: Path) -> dict[str, Signature]:
    """Return the signatures of a SavedModel: of the graph for serving, or of its first. Raises BadSavedModel."""
    from strongroom.tfserving import saved_model

    data = disk.read_bounded(path, limit=MAX_GRAPH_BYTES)
    known = saved_model.tag_sets(data)
    graph = saved_model.meta_graph(data, SERVE if SERVE in known else known[0])
    return {
        name: Signature(inputs=_words(signature.inputs), outputs=_words(signature.outputs))
        for name, signature in graph.signatures.items()
        if name != saved_model.INIT_SIGNATURE
    }


def onnx_signatures(path: Path) -> dict[str, Signature]:
    """Return the signatures of an ONNX model: those that it carries, or its inputs and outputs as one.

    Raises NotAModel if ONNX Runtime cannot load it, BadOnnxSignatures.
    """
    from strongroom.tfserving.onnx_signatures import KEY, BadOnnxSignatures, parse_names

    session = _session(path)
    inputs = {tensor.name: _spec(tensor) for tensor in session.get_inputs()}
    outputs = {tensor.name: _spec(tensor) for tensor in session.get_outputs()}
    carried = session.get_modelmeta().custom_metadata_map.get(KEY)
    if carried is None:
        return {DEFAULT_SIGNATURE: Signature(inputs=inputs, outputs=outputs)}
    try:
        return {
            name: Signature(
                inputs={alias: inputs[tensor] for alias, tensor in names.inputs.items()},
                outputs={alias: outputs[tensor] for alias, tensor in names.outputs.items()},
            )
            for name, names in parse_names(carried).items()
        }
    except KeyError as missing:
        raise BadOnnxSignatures(f"{KEY} names {str(missing)[:80]}, which the graph does not have") from None


def _session(path: Path) -> Any:  # noqa: ANN401  # onnxruntime has no types
    from strongroom.bundles.onnx_runtime import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # the error says it
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # only asked, never run
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # noqa: BLE001  # its exception classes share no base but Exception
        raise NotAModel(f"{path.name} cannot be loaded: {str(problem)[:200]}") from None


def _words(specs: Mapping[str, GraphTensor]) -> dict[str, TensorSpec]:
    """Return specs with numpy's words for the types."""
    return {
        alias: TensorSpec(dtype=_TENSORFLOW_WORDS.get(spec.dtype.word, spec.dtype.word), shape=spec.shape)
        for alias, spec in specs.items()
    }


def _spec(tensor: Any) -> TensorSpec:  # noqa: ANN401  # onnxruntime has no types
    element = str(tensor.type).removeprefix("tensor(").removesuffix(")")
    if element not in _DTYPES:
        raise NotAModel(f"{tensor.name} is a {tensor.type}, not a tensor that can be served")
    return TensorSpec(
        dtype=_DTYPES[element], shape=tuple(size if isinstance(size, int) else -1 for size in tensor.shape)
    )
