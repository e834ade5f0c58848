"""What no server can be cheaper than: the engine called in this process, and receiving the same bytes over TLS."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from serving.http_load import Exchange, exchange
from serving.measure import Contestant, Effort, Measured
from serving.models import Model, session
from serving.processes import running
from serving.requests import grpc_body, predict_message
from serving.tls_files import Transport, client_context
from strongroom.ports import free_ports

_FRESH_BYTES, _MOST_FEEDS = 64 * 1024 * 1024, 128
DISCARD: Final = Path(__file__).resolve().parent / "discard_server.py"


def engine(model: Model, effort: Effort) -> Measured:
    """Call the engine in this process, one request after the other, as our server does.

    The inputs take turns and together outgrow the processor's caches: a server's input has only just arrived, too.
    """
    loaded, names = session(model), ["y"]
    feeds = [{"x": model.x.copy()} for _ in range(max(1, min(_FRESH_BYTES // model.x.nbytes, _MOST_FEEDS)))]
    for feed in feeds:
        loaded.run(names, feed)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < effort.cpu_s / 4 or count < 2:
        loaded.run(names, feeds[count % len(feeds)])
        count += 1
    walls, cpus = [], []
    for _ in range(effort.runs):
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for number in range(4 * count):
            loaded.run(names, feeds[number % len(feeds)])
        cpus.append(1e6 * (time.process_time() - cpu_s) / (4 * count))
        walls.append((time.perf_counter() - wall_s) / (4 * count))
    latency_ms = 1000 * min(walls)
    return Measured(min(cpus), 1 / min(walls), latency_ms, latency_ms, 4 * count, tuple(cpus))


@contextmanager
def receiver(model: Model, folder: Path) -> Iterator[Contestant]:
    """Run a server that receives a model's request over TLS and throws it away. Raises PeerMissing."""
    body = grpc_body(predict_message(model))
    ports = free_ports(1)
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
        yield Contestant(server, lambda count: exchange(target, count))
