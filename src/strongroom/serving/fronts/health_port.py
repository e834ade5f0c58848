"""A port for probes alone: /healthz and /readyz in clear text, there before the key and the TLS identity are.

A kubelet shows no certificate, and a replica that waits for its key has none to show: so liveness and readiness have a
listener of their own that knows no model, no metric and no name of either. Source: threats SV-01, SV-19; decision 10.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from strongroom.serving.fronts.rest_front import Answer, RestFront, RestSettings
from strongroom.serving.http1 import Request
from strongroom.serving.operations.readiness import Readiness

_TEXT = "text/plain"


def health_answer(method: str, path: str, readiness: Readiness) -> Answer | None:
    """Return the answer to a probe, or None where the path is no probe's."""
    if method not in {"GET", "HEAD"}:
        return None
    if path == "/healthz":
        return Answer(200, b"ok\n", _TEXT)
    if path == "/readyz":
        return Answer(200 if readiness.ready else 503, f"{readiness.reason}\n".encode(), _TEXT)
    return None


@asynccontextmanager
async def health_port(host: str, port: int, readiness: Readiness) -> AsyncIterator[int]:
    """Answer probes on a port while the context lasts; yield the port. Raises OSError."""

    async def answer(request: Request) -> Answer:
        path = request.target.partition(b"?")[0].decode("latin-1")
        return health_answer(request.method, path, readiness) or Answer(404, b"Not Found\n", _TEXT)

    front = RestFront(answer, RestSettings(max_body_bytes=1024))
    try:
        yield await front.start(host, port, None, shared=True)
    finally:
        await front.stop(1.0)
