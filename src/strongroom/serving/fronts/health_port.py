"""A port for probes: /healthz and /readyz in clear text, there before the key and the TLS identity are; and /load.

A kubelet shows no certificate, and a replica that waits for its key has none to show: so liveness and readiness have a
listener of their own. An autoscaler shows none either: it gets one number, how many requests this server holds. The
listener knows no model, no other metric and no name of either. Source: threats SV-01, SV-19; decisions 10 and 22.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from strongroom.serving.fronts.rest_front import Answer, RestFront, RestSettings
from strongroom.serving.http1 import Request
from strongroom.serving.operations.load import Load
from strongroom.serving.operations.readiness import Readiness

_TEXT: Final = "text/plain"
_LOAD: Final = "/load"
_METHODS: Final = frozenset({"GET", "HEAD"})


def health_answer(method: str, path: str, readiness: Readiness) -> Answer | None:
    """Return the answer to a probe, or None where the path is no probe's."""
    if method not in _METHODS:
        return None
    if path == "/healthz":
        return Answer(200, b"ok\n", _TEXT)
    if path == "/readyz":
        return Answer(200 if readiness.ready else 503, f"{readiness.reason}\n".encode(), _TEXT)
    return None


@asynccontextmanager
async def health_port(host: str, port: int, readiness: Readiness, load: Load) -> AsyncIterator[int]:
    """Answer probes, and how busy the server is, on a port while the context lasts; yield the port. Raises OSError."""

    async def answer(request: Request) -> Answer:
        path = request.target.partition(b"?")[0].decode("latin-1")
        if path == _LOAD and request.method in _METHODS:
            text = await load.text()
            return Answer(503, b"not serving yet\n", _TEXT) if text is None else Answer(200, text.encode(), _TEXT)
        return health_answer(request.method, path, readiness) or Answer(404, b"Not Found\n", _TEXT)

    front = RestFront(answer, RestSettings(max_body_bytes=1024))
    try:
        yield await front.start(host, port, None, shared=True)
    finally:
        await front.stop(1.0)
