"""The obvious JSON handler: orjson and numpy on uvicorn's raw ASGI (uvloop, httptools), over TLS. Run by the bench.

Arguments: model file, port, folder of the PEM files.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import onnxruntime
import orjson
import uvicorn

path, port, folder = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
Message = dict[str, Any]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        return
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message["body"])
        more = message["more_body"]
    x = np.array(orjson.loads(b"".join(parts))["instances"], np.float32)
    y = session.run(["y"], {"x": x})[0]
    body = orjson.dumps({"predictions": y.tolist()})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


uvicorn.run(
    app,
    host="127.0.0.1",
    port=int(port),
    loop="uvloop",
    http="httptools",
    lifespan="off",
    access_log=False,
    log_level="warning",
    ssl_keyfile=f"{folder}/server.key",
    ssl_certfile=f"{folder}/server.pem",
)
