"""150,000 floats as JSON over TLS: our REST front beside the obvious handler, orjson and numpy on uvicorn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.environments import PINS, environment
from serving.fronts import BEST, Front, wait_until
from serving.http_load import Exchange, exchange, json_exchange
from serving.models import Model
from serving.processes import Server, running
from serving.requests import check_json, json_body
from serving.tls_files import Transport, client_context
from strongroom.ports import free_ports


@contextmanager
def ours(folder: Path, model: Model, front: Front = BEST) -> Iterator[tuple[Server, Exchange]]:
    """Run our server with a model. Raises PeerMissing."""
    ports = free_ports(2)
    start = front.start(model, Transport.TLS, folder, ports)
    with running(start.words, ports, folder=folder) as server:
        yield server, _asked(ports[1], folder, model)


@contextmanager
def obvious(folder: Path, model: Model) -> Iterator[tuple[Server, Exchange]]:
    """Run the obvious handler with a model. Raises PeerMissing."""
    file = model.write(folder) / "1" / "model.onnx"
    ports = free_ports(1)
    words = [str(environment("obvious")), str(PINS / "obvious_asgi.py"), str(file), str(ports[0]), str(folder)]
    with running(words, ports, folder=folder) as server:
        yield server, _asked(ports[0], folder, model)


def _asked(port: int, folder: Path, model: Model) -> Exchange:
    context = client_context(folder, Transport.TLS, "http/1.1")
    path = f"/v1/models/{model.name}:predict"
    asked = json_exchange(port, context, path, json_body(model), check_json(model))
    wait_until(lambda: exchange(asked, 1))
    return asked
