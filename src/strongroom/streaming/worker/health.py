"""A port for probes and Prometheus: /healthz, /readyz, /metrics in clear text; it names no client, record or model.

A kubelet and a scraper show no certificate, and what they see identifies nobody. Source: spec `cluster-serving.md`
defects D12 and D15; threats SV-19.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from strongroom.serving.fronts.rest_front import Answer, RestFront, RestSettings
from strongroom.serving.http1 import Request
from strongroom.streaming.worker.reports import Report, metrics_text

_TEXT: Final = "text/plain"
_METHODS: Final = frozenset({"GET", "HEAD"})


def answer_to(method: str, path: str, report: Report) -> Answer:
    """Return the answer to a probe or a scrape."""
    if method in _METHODS and path == "/healthz":
        return Answer(200, b"ok\n", _TEXT)
    if method in _METHODS and path == "/readyz":
        return Answer(200 if report.ready else 503, f"{report.reason}\n".encode(), _TEXT)
    if method in _METHODS and path == "/metrics":
        return Answer(200, metrics_text(report).encode(), _TEXT)
    return Answer(404, b"Not Found\n", _TEXT)


@asynccontextmanager
async def health_port(host: str, port: int, report: Callable[[], Report]) -> AsyncIterator[int]:
    """Answer on a port while the context lasts; yield the port (0 asks for a free one). Raises OSError."""

    async def answer(request: Request) -> Answer:
        return answer_to(request.method, request.target.partition(b"?")[0].decode("latin-1"), report())

    front = RestFront(answer, RestSettings(max_body_bytes=1024))
    try:
        yield await front.start(host, port, None)
    finally:
        await front.stop(1.0)
