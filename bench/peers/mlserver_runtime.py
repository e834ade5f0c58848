"""ONNX Runtime for MLServer, as its documentation says to write one; the bench copies it beside a model."""

from __future__ import annotations

import onnxruntime
from mlserver import MLModel  # type: ignore[import-not-found]  # in an environment of its own
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found]  # in an environment of its own
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]  # in an environment of its own


class OnnxModel(MLModel):  # type: ignore[misc]  # as above
    async def load(self) -> bool:
        given = self.settings.parameters.extra
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = given["threads"]
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(given["path"], options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = NumpyCodec.decode_input(payload.inputs[0])
        y = self._session.run(["y"], {"x": x})[0]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)])
