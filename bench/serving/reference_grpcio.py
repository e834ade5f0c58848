"""A server as one writes it with grpcio: synchronous, 4 threads, raw bytes, the same work as ours. Run by the bench.

Arguments: model file, port, plaintext|TLS|mTLS, folder of the PEM files. It parses the request as our server does, so
what differs is the front end alone.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import onnxruntime

from strongroom.tfserving import Limits, encode_predict_response, parse_predict
from strongroom.tfserving.tensors import encode_tensor

LIMITS = Limits()


def predictor(model: Path, threads: int) -> Callable[[bytes, Any], bytes]:
    """Return a handler: PredictRequest bytes to PredictResponse bytes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.read_bytes(), options, providers=["CPUExecutionProvider"])
    name = model.parent.parent.name

    def predict(data: bytes, _context: object) -> bytes:
        inputs = {name: tensor.array(LIMITS) for name, tensor in parse_predict(data).inputs.items()}
        outputs = {"y": encode_tensor(session.run(["y"], inputs)[0])}
        return encode_predict_response(outputs, name=name, version=1, signature_name="serving_default")

    return predict


def main() -> None:
    model, port, transport, folder = Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
    handlers = {"Predict": grpc.unary_unary_rpc_method_handler(predictor(model, int(sys.argv[5])))}
    service = "tensorflow.serving.PredictionService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    if transport == "plaintext":
        server.add_insecure_port(f"127.0.0.1:{port}")
    else:
        key, chain, ca = ((folder / name).read_bytes() for name in ("server.key", "server.pem", "ca.pem"))
        mutual = transport == "mTLS"
        credentials = grpc.ssl_server_credentials([(key, chain)], ca if mutual else None, mutual)
        server.add_secure_port(f"127.0.0.1:{port}", credentials)
    server.start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
