"""150,000 floats as JSON over TLS: our REST front beside the obvious handler, orjson and numpy on uvicorn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from serving.environments import PINS, environment
from serving.fronts import BEST, Front, wait_until
from serving.http_load import Exchange, exchange, json_exchange
from serving.models import JSON
from serving.processes import Server, free_ports, running
from serving.requests import check_json, json_body
from serving.tls_files import Transport, client_context

PATH: Final = f"/v1/models/{JSON.name}:predict"


@contextmanager
def ours(folder: Path, front: Front = BEST) -> Iterator[tuple[Server, Exchange]]:
    """Run our server with the JSON model. Raises PeerMissing."""
    with free_ports(2) as ports:
        start = front.start(JSON, Transport.TLS, folder, ports)
        with running(start.words, ports, folder=folder) as server:
            yield server, _asked(ports[1], folder)


@contextmanager
def obvious(folder: Path) -> Iterator[tuple[Server, Exchange]]:
    """Run the obvious handler with the JSON model. Raises PeerMissing."""
    file = JSON.write(folder) / "1" / "model.onnx"
    with free_ports(1) as ports:
        words = [str(environment("obvious")), str(PINS / "obvious_asgi.py"), str(file), str(ports[0]), str(folder)]
        with running(words, ports, folder=folder) as server:
            yield server, _asked(ports[0], folder)


def _asked(port: int, folder: Path) -> Exchange:
    context = client_context(folder, Transport.TLS, "http/1.1")
    asked = json_exchange(port, context, PATH, json_body(JSON), check_json(JSON))
    wait_until(lambda: exchange(asked, 1))
    return asked
