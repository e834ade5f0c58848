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


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Threads of one run; 0 lets the engine use every core."""

    intra_op_threads: int = 0
    inter_op_threads: int = 0


class Engine(Protocol):
    """A loaded model. One thread at a time calls `run`."""

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The ways to call the model, by name."""

    def run(self, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Return the named outputs of a signature for inputs of its types.

        Strings are object arrays of bytes, both ways. Raises BadRequest for shapes that the model does not take,
        EngineFailed for anything else.
        """

    def close(self) -> None:
        """Let go of the model; it is not run again."""
