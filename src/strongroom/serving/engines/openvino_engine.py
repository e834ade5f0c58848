"""OpenVINO as an engine: an ONNX model or OpenVINO's own form, from bytes in memory, on the CPU.

It computes in float32 unless the operator asks for bfloat16: its default would choose by the machine, and the same
model would answer differently on another replica. Strings are refused when a model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from strongroom.serving.engines.base import EngineOptions, ModelNotLoadable, has_batches
from strongroom.serving.engines.files import ModelFiles
from strongroom.serving.engines.onnx_model import inspect, parts
from strongroom.serving.engines.openvino_runtime import openvino
from strongroom.serving.status import BadRequest, EngineFailed
from strongroom.tfserving.datatypes import STORAGE, Array, DataType
from strongroom.tfserving.signatures import DEFAULT_SIGNATURE, Signature, TensorSpec

IR_FILE: Final = "model.xml"
WEIGHTS_FILE: Final = "model.bin"
ONNX_FILE: Final = "model.onnx"
_TYPES: Final = {
    "f32": DataType.DT_FLOAT, "f64": DataType.DT_DOUBLE, "f16": DataType.DT_HALF, "boolean": DataType.DT_BOOL,
    "i8": DataType.DT_INT8, "i16": DataType.DT_INT16, "i32": DataType.DT_INT32, "i64": DataType.DT_INT64,
    "u8": DataType.DT_UINT8, "u16": DataType.DT_UINT16, "u32": DataType.DT_UINT32, "u64": DataType.DT_UINT64,
}  # fmt: skip
_FIX: Final = "Serve the model with ONNX Runtime (--engine=onnx), or a SavedModel with --engine=tensorflow."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How a signature is run: one request object, and the places of its inputs and outputs."""

    request: Any
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


class OpenVinoEngine:
    """Compiled models, one for each set of inputs that signatures share. Raises ModelNotLoadable, EngineMissing."""

    runtime = "OpenVINO"
    concurrent = False  # one request object holds inputs and outputs

    def __init__(self, files: ModelFiles, options: EngineOptions) -> None:
        ov = openvino()
        core = ov.Core()
        self._ways: dict[str, _Way] = {}
        self._signatures: dict[str, Signature] = {}
        self.stateless = True
        for model, signatures in _models(core, files):
            self.stateless &= not model.get_sinks()  # what a run assigns to variables
            compiled = _compile(core, model, options)
            for name, signature in (signatures or {DEFAULT_SIGNATURE: _signature(compiled)}).items():
                self._signatures[name] = signature
                self._ways[name] = _way(compiled, signature)
        self.description = f"OpenVINO {ov.get_version().partition('-')[0]}, {_in_force(compiled)}"

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The signatures that an ONNX model carries; otherwise inputs and outputs as `serving_default`."""
        return self._signatures

    def batchable(self, signature: str) -> bool:
        """Return whether every input of a signature has a first dimension."""
        return has_batches(self._signatures[signature])

    def run(self, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Run the whole model and return the outputs that were asked for."""
        way, specs = self._ways[signature], self._signatures[signature]
        feed = {}
        for name, array in inputs.items():
            _check(name, array, specs.inputs[name])
            feed[way.inputs[name]] = array
        try:
            way.request.infer(feed, share_inputs=True, share_outputs=True)
            return {name: way.request.get_output_tensor(way.outputs[name]).data.copy() for name in outputs}
        except Exception as problem:  # noqa: BLE001  # the binding raises RuntimeError and others; they name the model
            raise EngineFailed(f"the model could not be run on this request ({type(problem).__name__})") from None

    def close(self) -> None:
        """Free the compiled models."""
        self._ways = {}


def _models(core: Any, files: ModelFiles) -> list[tuple[Any, Mapping[str, Signature]]]:  # noqa: ANN401  # a binding
    """Read a version's model; ONNX comes with its signatures, OpenVINO's own form has none."""
    if ONNX_FILE in files.paths:
        data = files.read(ONNX_FILE)
        return [(_read(core, part), signatures) for part, signatures in parts(data, inspect(data))]
    if IR_FILE not in files.paths:
        raise ModelNotLoadable(f"OpenVINO takes {ONNX_FILE} or {IR_FILE} with {WEIGHTS_FILE}", fix=_FIX)
    weights = files.read(WEIGHTS_FILE) if WEIGHTS_FILE in files.paths else b""
    return [(_read(core, files.read(IR_FILE), weights), {})]


def _read(core: Any, model: bytes, weights: bytes = b"") -> Any:  # noqa: ANN401  # the binding's objects
    try:
        return core.read_model(model, weights)
    except Exception as problem:  # noqa: BLE001  # the binding raises RuntimeError and others; they name the model
        raise ModelNotLoadable(f"OpenVINO does not read the model ({type(problem).__name__})", fix=_FIX) from None


def _compile(core: Any, model: Any, options: EngineOptions) -> Any:  # noqa: ANN401  # the binding's objects
    _check_types(model)
    config = {
        "INFERENCE_PRECISION_HINT": options.openvino_precision,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": options.intra_op_threads,
        "ENABLE_CPU_PINNING": False,  # the machine is shared with the front, and with other replicas
    }
    try:
        return core.compile_model(model, "CPU", config)
    except Exception as problem:  # noqa: BLE001  # the binding raises RuntimeError and others; they name the model
        raise ModelNotLoadable(f"OpenVINO does not compile the model ({type(problem).__name__})", fix=_FIX) from None


def _check_types(model: Any) -> None:  # noqa: ANN401  # the binding's object
    for port in (*model.inputs, *model.outputs):
        kind = port.get_element_type().to_string()
        if kind not in _TYPES:
            what = "strings" if kind == "string" else f"tensors of {kind}"
            raise ModelNotLoadable(f"the model takes or gives {what}, which this engine does not", fix=_FIX)
    for port in model.inputs:
        if port.get_partial_shape().rank.is_dynamic:
            raise ModelNotLoadable(
                "an input of the model has an unknown rank, which this engine does not take", fix=_FIX
            )


def _signature(compiled: Any) -> Signature:  # noqa: ANN401  # the binding's object
    return Signature(
        inputs={_name(port): _spec(port) for port in compiled.inputs},
        outputs={_name(port): _spec(port) for port in compiled.outputs},
    )


def _name(port: Any) -> str:  # noqa: ANN401  # the binding's object
    """Return the name of a port: the first of its tensor's names, or that of the node which has it."""
    names = port.get_names()
    return min(names) if names else str(port.get_node().get_friendly_name())


def _spec(port: Any) -> TensorSpec:  # noqa: ANN401  # the binding's object
    shape = port.get_partial_shape()
    sizes = None if shape.rank.is_dynamic else tuple(each.get_length() if each.is_static else -1 for each in shape)
    return TensorSpec(name=_name(port), dtype=_TYPES[port.get_element_type().to_string()], shape=sizes)


def _way(compiled: Any, signature: Signature) -> _Way:  # noqa: ANN401  # the binding's object
    def places(ports: Sequence[Any], specs: Mapping[str, TensorSpec]) -> dict[str, int]:
        known = {name: index for index, port in enumerate(ports) for name in (_name(port), *port.get_names())}
        lost = next((spec.name for spec in specs.values() if spec.name not in known), None)
        if lost is not None:
            raise ModelNotLoadable(f"OpenVINO does not keep {lost[:80]!r} of the model", fix=_FIX)
        return {alias: known[spec.name] for alias, spec in specs.items()}

    inputs, outputs = places(compiled.inputs, signature.inputs), places(compiled.outputs, signature.outputs)
    return _Way(request=compiled.create_infer_request(), inputs=inputs, outputs=outputs)


def _check(name: str, array: Array, spec: TensorSpec) -> None:
    """Raise BadRequest for what the binding would cast or call an internal error."""
    if array.dtype != STORAGE[spec.dtype].dtype:
        raise BadRequest(f"{name} is to be {spec.dtype.word} but {array.dtype} is provided")
    wanted = spec.shape
    if wanted is not None and (
        len(wanted) != array.ndim or any(size not in (-1, seen) for size, seen in zip(wanted, array.shape, strict=True))
    ):
        raise BadRequest(f"{name} has the shape {_text(array.shape)}, the model takes {_text(wanted)}")


def _text(shape: Sequence[int]) -> str:
    return f"[{','.join('?' if size < 0 else str(size) for size in shape)}]"


def _in_force(compiled: Any) -> str:  # noqa: ANN401  # the binding's object
    precision = compiled.get_property("INFERENCE_PRECISION_HINT")
    word = str(np.dtype(precision.to_dtype())) if precision.to_string() != "bf16" else "bfloat16"
    return f"threads: {compiled.get_property('INFERENCE_NUM_THREADS')}, computes in {word}"
