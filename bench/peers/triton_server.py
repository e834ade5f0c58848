"""A model on nvidia-pytriton's Triton (C++ front, Python backend), run in its own environment by the bench.

Arguments: model file, gRPC, HTTP and metrics port, plaintext|mTLS, folder of the PEM files, threads, shape of one
example.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from pytriton.decorators import batch  # type: ignore[import-not-found]  # in an environment of its own
from pytriton.model_config import ModelConfig, Tensor  # type: ignore[import-not-found]  # in an environment of its own
from pytriton.triton import Triton, TritonConfig  # type: ignore[import-not-found]  # in an environment of its own

path, grpc_port, http_port, metrics_port, transport, folder, threads, sizes = sys.argv[1:]
secure: dict[str, Any] = {}
if transport == "mTLS":
    secure = {
        "grpc_use_ssl": True,
        "grpc_use_ssl_mutual": True,
        "grpc_server_cert": f"{folder}/server.pem",
        "grpc_server_key": f"{folder}/server.key",
        "grpc_root_cert": f"{folder}/ca.pem",
    }
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@batch  # type: ignore[untyped-decorator]  # as above
def infer(x: Any) -> list[Any]:  # noqa: ANN401  # arrays of numpy 1
    return list(session.run(["y"], {"x": x}))


shape = tuple(map(int, sizes.split(",")))
answer = session.run(["y"], {"x": np.zeros((1, *shape), np.float32)})[0]
config = TritonConfig(
    grpc_port=int(grpc_port),
    http_port=int(http_port),
    metrics_port=int(metrics_port),
    grpc_address="127.0.0.1",
    http_address="127.0.0.1",
    **secure,
)
with Triton(config=config) as triton:
    triton.bind(
        model_name=Path(path).parent.parent.name,
        infer_func=infer,
        inputs=[Tensor(name="x", dtype=np.float32, shape=shape)],
        outputs=[Tensor(name="y", dtype=np.float32, shape=answer.shape[1:])],
        config=ModelConfig(max_batch_size=64),
    )
    triton.serve()
