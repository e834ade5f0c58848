"""What no server can be cheaper than: the engine called in this process, and receiving the same bytes over TLS."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

from serving.http_load import Exchange, exchange
from serving.measure import Contestant, Effort, Measured, measure
from serving.models import Model, session
from serving.processes import free_ports, running
from serving.requests import grpc_body, predict_message
from serving.tls_files import Transport, client_context

DISCARD: Final = Path(__file__).resolve().parent / "discard_server.py"


def engine(model: Model, effort: Effort) -> Measured:
    """Call the engine in this process, one request after the other, as our server does."""
    loaded, feed, names = session(model), {"x": model.x}, ["y"]
    loaded.run(names, feed)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < effort.cpu_s / 4 or count < 2:
        loaded.run(names, feed)
        count += 1
    walls, cpus = [], []
    for _ in range(effort.runs):
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for _ in range(4 * count):
            loaded.run(names, feed)
        cpus.append(1e6 * (time.process_time() - cpu_s) / (4 * count))
        walls.append((time.perf_counter() - wall_s) / (4 * count))
    latency_ms = 1000 * min(walls)
    return Measured(min(cpus), 1 / min(walls), latency_ms, latency_ms, 4 * count, tuple(cpus))


def tls_receive(model: Model, folder: Path, effort: Effort) -> Measured:
    """Receive a model's request over TLS and throw it away. Raises PeerMissing when the server does not start."""
    body = grpc_body(predict_message(model))
    with free_ports(1) as ports:
        words = [sys.executable, str(DISCARD), str(ports[0]), str(folder), str(len(body))]
        with running(words, ports, folder=folder) as server:
            target = Exchange(
                port=ports[0],
                context=client_context(folder, Transport.TLS, "discard"),
                request=body,
                whole=lambda data: 1 if data else None,
                check=lambda _answer: None,
                connections=model.connections,
            )
            (found,) = measure([Contestant(server, lambda count: exchange(target, count))], effort)
            return found
