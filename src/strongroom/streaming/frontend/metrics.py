"""What a front has counted: Prometheus' text, and the list of timers that the original's /metrics gave.

World: the registry of `prometheus_client`, one a front. Labels are our own words: no model's name, no address.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
PREFIX: Final = "bigdl.serving."
TIMERS: Final = (
    "request.overall", "request.predict", "request.metrics", "retrive.servable", "retrive.servables",
    "backend.inference", "redis.put", "redis.get", "redis.wait", "activity.make", "response.handling",
)  # fmt: skip
_KEPT: Final = 1028  # samples of a timer, as many as the original's reservoir
_QUANTILES: Final = (("_75thPercentile", 0.75), ("_95thPercentile", 0.95), ("_98thPercentile", 0.98),
                     ("_99thPercentile", 0.99), ("_999thPercentile", 0.999))  # fmt: skip
_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0)


@dataclass(slots=True)
class _Timer:
    count: int = 0
    recent_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))


class FrontMetrics:
    """Counts and times what one front does, on its event loop."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._began_s = time.monotonic()
        self._timers = {name: _Timer() for name in TIMERS}
        self._seconds = Histogram(
            "strongroom_queue_frontend_seconds", "What requests took, by the part of the work", ("timer",),
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._answers = Counter(
            "strongroom_queue_frontend_answers", "HTTP answers", ("route", "status"), registry=self._registry
        )
        self._instances = Counter(
            "strongroom_queue_frontend_instances", "Instances by outcome: ok, or the word of their error", ("outcome",),
            registry=self._registry,
        )  # fmt: skip
        self._instances.labels("ok")
        self._limited = Counter(
            "strongroom_queue_frontend_limited", "Requests that were turned away unread", ("why",),
            registry=self._registry,
        )  # fmt: skip
        for why in ("rate", "busy", "memory"):
            self._limited.labels(why)
        self._running = Gauge("strongroom_queue_frontend_running", "Requests being answered", registry=self._registry)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time a part of the work, whatever becomes of it."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.took(name, time.perf_counter() - began)

    def took(self, name: str, seconds: float) -> None:
        """Note what a part of the work took."""
        timer = self._timers[name]
        timer.count += 1
        timer.recent_ms.append(seconds * 1000)
        self._seconds.labels(name).observe(seconds)

    def answered(self, route: str, status: int) -> None:
        """Count an answer of one of our routes."""
        self._answers.labels(route, str(status)).inc()

    def instance(self, outcome: str) -> None:
        """Count an instance."""
        self._instances.labels(outcome).inc()

    def limited(self, why: str) -> None:
        """Count a request that was turned away: rate, busy or memory."""
        self._limited.labels(why).inc()

    def running(self, count: int) -> None:
        """Say how many requests are being answered."""
        self._running.set(count)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def timers(self) -> bytes:
        """Return the timers as the original lists them, in milliseconds; percentiles are of the newest 1028."""
        lasted_s = max(1e-9, time.monotonic() - self._began_s)
        return orjson.dumps([_listed(PREFIX + name, each, lasted_s) for name, each in self._timers.items()])


def _listed(name: str, timer: _Timer, lasted_s: float) -> dict[str, Any]:
    values = sorted(timer.recent_ms)
    last = len(values) - 1
    found: dict[str, Any] = {
        "name": name,
        "count": timer.count,
        "meanRate": timer.count / lasted_s,
        "min": values[0] if values else 0.0,
        "max": values[-1] if values else 0.0,
        "mean": statistics.fmean(values) if values else 0.0,
        "median": statistics.median(values) if values else 0.0,
        "stdDev": statistics.pstdev(values) if values else 0.0,
    }
    return found | {key: values[min(last, int(share * len(values)))] if values else 0.0 for key, share in _QUANTILES}
