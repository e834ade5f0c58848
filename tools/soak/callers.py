"""Callers that check every answer: gRPC by grpcio, REST by http.client, and rude ones that leave in the middle."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import grpc
import numpy as np

from strongroom.tfserving import (
    PREDICT,
    ModelSpec,
    PredictResponse,
    encode_predict_request,
    tensor_to_array,
)
from strongroom.tfserving.tensors import Limits

MODEL: Final = "half"
PATIENCE_S: Final = 30.0


@dataclass(slots=True)
class Tally:
    """What callers saw. `excused` says whether a failure is the soak's own doing (a process it killed just now)."""

    excused: Callable[[], bool]
    answers: Counter[str] = field(default_factory=Counter)
    excuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def good(self, kind: str) -> None:
        """Count an answer that was right."""
        with self._lock:
            self.answers[kind] += 1

    def bad(self, kind: str, what: str) -> None:
        """Note a wrong answer: nothing excuses it."""
        with self._lock:
            self.faults.append(f"{kind}: {what}")

    def failed(self, kind: str, what: str) -> None:
        """Note a request without an answer."""
        with self._lock:
            if self.excused():
                self.excuses[f"{kind}: {what}"] += 1
            else:
                self.faults.append(f"{kind}: {what}")


def by_grpc(port: int, tally: Tally, stop: threading.Event) -> None:
    """Predict over one channel after the other; the version in the answer says what the values have to be."""
    picks = random.Random()  # noqa: S311  # sizes, not secrets
    while not stop.is_set():
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            call = channel.unary_unary(PREDICT, request_serializer=bytes, response_deserializer=bytes)
            for _ in range(picks.randint(1, 500)):
                if stop.is_set() or not _predict(call, picks, tally):
                    break


def _predict(call: Callable[..., bytes], picks: random.Random, tally: Tally) -> bool:
    x = np.array([picks.uniform(-100, 100) for _ in range(picks.randint(1, 40))], np.float32)
    request = encode_predict_request({"x": x}, ModelSpec(name=MODEL))
    try:
        answer = PredictResponse.FromString(call(request, timeout=PATIENCE_S, wait_for_ready=True))
    except grpc.RpcError as problem:
        tally.failed("grpc", f"{problem.code().name} {problem.details()}")
        return False
    y = tensor_to_array(answer.outputs["y"], limits=Limits())
    wanted = x * np.float32(0.5) + np.float32(answer.model_spec.version.value)
    if np.array_equal(y, wanted):
        tally.good("grpc")
    else:
        tally.bad("grpc", f"version {answer.model_spec.version.value} answered {y[:4]} for {x[:4]}")
    return True


def by_rest(port: int, tally: Tally, stop: threading.Event) -> None:
    """Predict over keep-alive connections; x/2 is subtracted, what is left has to be one number: the version."""
    picks = random.Random()  # noqa: S311  # sizes, not secrets
    while not stop.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            for _ in range(picks.randint(1, 200)):
                if stop.is_set():
                    break
                _ask(connection, picks, tally)
        except (OSError, http.client.HTTPException) as problem:
            tally.failed("rest", type(problem).__name__)
            time.sleep(0.05)
        finally:
            connection.close()


def _ask(connection: http.client.HTTPConnection, picks: random.Random, tally: Tally) -> None:
    x = [float(picks.randint(-64, 64)) for _ in range(picks.randint(1, 40))]
    connection.request("POST", f"/v1/models/{MODEL}:predict", json.dumps({"instances": x}))
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        tally.failed("rest", f"{answer.status} {body[:200]!r}")
        return
    left = {y - value / 2 for value, y in zip(x, json.loads(body)["predictions"], strict=True)}
    if len(left) == 1 and left.pop().is_integer():
        tally.good("rest")
    else:
        tally.bad("rest", f"{body[:200]!r} for {x[:4]}")


def rude(port: int, tally: Tally, stop: threading.Event) -> None:
    """Connect, send a part of something, reset the connection; nobody answers and nobody may suffer."""
    picks = random.Random()  # noqa: S311  # as above
    beginnings = (
        b"POST /v1/models/half:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n[[[",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00",
        picks.randbytes(400),
        b"",
    )
    while not stop.wait(0.05):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.sendall(picks.choice(beginnings))
            tally.good("rude")
