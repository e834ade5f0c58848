"""What a model is to the server: signatures, and a function from arrays to arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from strongroom.errors import BadInput
from strongroom.tfserving.datatypes import Array
from strongroom.tfserving.signatures import Signature


class ModelNotLoadable(BadInput):
    """A model's bytes cannot be served: damaged, of another format, or asking for files of their own."""

    code = "SR-MODEL-NOT-LOADABLE"
    fix = "Check the model on the owner's machine; keep all of its weights inside the one file, and publish it again."


class EngineUnknown(BadInput):
    """A model needs an engine that this server does not have."""

    code = "SR-ENGINE-UNKNOWN"
    fix = "Convert the model to ONNX (model.onnx) and publish it again."


class EngineMissing(BadInput):
    """A model needs an engine whose package is not installed."""

    code = "SR-ENGINE-MISSING"
    fix = "Install the engine's extra, or convert the model to ONNX (model.onnx)."


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How models are loaded and run. Threads of one run: 0 lets the engine use every core."""

    engine: str = "auto"  # or "onnx", "tensorflow", "openvino"
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    saved_model_tags: frozenset[str] = frozenset({"serve"})
    openvino_precision: str = "f32"  # or "bf16"


class Engine(Protocol):
    """A loaded model. One thread at a time calls `run`, unless it is `concurrent`."""

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The ways to call the model, by name."""

    @property
    def runtime(self) -> str:
        """The word for metrics: `TF1`, `ONNX`, `OpenVINO`."""

    @property
    def description(self) -> str:
        """The engine, its version, threads and precision as they are in force, for the start-up log."""

    @property
    def stateless(self) -> bool:
        """Whether a run leaves nothing behind, so that the server may run a request twice to see what joining does."""

    @property
    def concurrent(self) -> bool:
        """Whether several threads may run it at once."""

    def batchable(self, signature: str) -> bool:
        """Return whether requests may share a run: every input of the signature has a first dimension."""

    def run(self, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Return the named outputs of a signature for inputs of its types.

        Strings are object arrays of bytes, both ways. Raises BadRequest for shapes that the model does not take,
        ModelFailed for what the model itself refuses under another code, EngineFailed for anything else.
        """

    def close(self) -> None:
        """Let go of the model; it is not run again."""


def has_batches(signature: Signature) -> bool:
    """Return whether every input has a first dimension, or may have one."""
    return bool(signature.inputs) and all(spec.shape != () for spec in signature.inputs.values())


def threads_text(options: EngineOptions) -> str:
    """Return the threads of one run in words."""
    intra = options.intra_op_threads or "all"
    return f"threads: {intra} within an operation, {options.inter_op_threads or 'all'} between operations"
