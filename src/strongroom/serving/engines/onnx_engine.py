"""ONNX Runtime as an engine: a model from bytes in memory, on the CPU.

The session reads no file, loads no library and writes no log: node names of a confidential model stay inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from strongroom.bundles.onnx_runtime import onnxruntime, states
from strongroom.serving.engines.base import EngineOptions, ModelNotLoadable, has_batches, threads_text
from strongroom.serving.engines.onnx_model import inspect
from strongroom.serving.status import BadRequest, EngineFailed
from strongroom.tfserving.datatypes import Array, DataType
from strongroom.tfserving.signatures import DEFAULT_SIGNATURE, Signature

MODEL_FILE: Final = "model.onnx"
_FATAL: Final = 4  # log severity


class OnnxEngine:
    """A session and its one signature. Raises ModelNotLoadable."""

    runtime = "ONNX"

    def __init__(self, model: bytes, options: EngineOptions) -> None:
        self._signatures = inspect(model)
        try:
            self._session: Any = onnxruntime.InferenceSession(
                model, _session_options(options), providers=["CPUExecutionProvider"]
            )
        except Exception as problem:  # noqa: BLE001  # the runtime's exceptions share no base but Exception
            kind = type(problem).__name__
            raise ModelNotLoadable(f"ONNX Runtime {onnxruntime.__version__} does not load the model ({kind})") from None
        self.description = f"ONNX Runtime {onnxruntime.__version__}, {threads_text(options)}"
        self._strings = {
            name
            for name, spec in self._signatures[DEFAULT_SIGNATURE].inputs.items()
            if spec.dtype is DataType.DT_STRING
        }

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The graph's inputs and outputs as `serving_default`."""
        return self._signatures

    def batchable(self, signature: str) -> bool:
        """Return whether every input of a signature has a first dimension."""
        return has_batches(self._signatures[signature])

    def run(self, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Run the graph as far as `outputs` needs it."""
        del signature  # there is one
        feed = {name: _to_text(array) if name in self._strings else array for name, array in inputs.items()}
        try:
            results = self._session.run(list(outputs), feed)
        except states.InvalidArgument as problem:
            raise BadRequest(_sentence(str(problem))) from None
        except Exception as problem:  # noqa: BLE001  # as above; its text names nodes of the model
            raise EngineFailed(f"the model could not be run on this request ({type(problem).__name__})") from None
        return dict(zip(outputs, map(_from_text, results), strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _session_options(options: EngineOptions) -> Any:  # noqa: ANN401  # onnxruntime has no types
    session_options = onnxruntime.SessionOptions()
    session_options.log_severity_level = _FATAL
    session_options.intra_op_num_threads = options.intra_op_threads
    session_options.inter_op_num_threads = options.inter_op_threads
    session_options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle cores stay idle
    session_options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    session_options.add_session_config_entry("session.load_model_format", "ONNX")  # nothing that `inspect` cannot read
    return session_options


def _sentence(text: str) -> str:
    """Return what the runtime says about a request without its prefix: it names inputs and sizes only."""
    return " ".join(text.rpartition("INVALID_ARGUMENT : ")[2].split())


def _to_text(array: Array) -> Array:
    texts = np.empty(array.shape, object)
    try:
        for index, each in np.ndenumerate(array):
            texts[index] = each.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("the model takes strings of UTF-8 text") from None
    return texts


def _from_text(array: Array) -> Array:
    if not isinstance(array, np.ndarray):
        raise EngineFailed("the model answered something other than a tensor")
    if array.dtype.kind not in "OU":
        return array
    encoded = np.empty(array.shape, object)
    for index, each in np.ndenumerate(array):
        encoded[index] = str(each).encode()
    return encoded
