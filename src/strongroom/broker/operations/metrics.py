"""Prometheus metrics of one broker. No label holds a name that a peer or an owner chose, an address or an identity.

World: the registry of `prometheus_client`, one for each broker, never the process-wide default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_-]{1,48}", re.ASCII)
PROTOCOLS: Final = ("gramine-v1", "kbs")  # by which peers ask for secrets
_MOST_CODES: Final = 200  # of the catalogue's size: whatever goes wrong, the label stays bounded
_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """Counts what a broker does. Threads may share it; a scrape asks `watch`ed values at that moment."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._codes: set[str] = set()
        self._admissions = Counter(
            "strongroom_broker_admissions", "Decisions on peers that asked for a secret",
            ("protocol", "outcome"), registry=self._registry,
        )  # fmt: skip
        for protocol in PROTOCOLS:  # a counter that begins with its first refusal has not increased: no alert sees it
            for outcome in ("granted", "denied"):
                self._admissions.labels(protocol, outcome)
        self._denials = Counter(
            "strongroom_broker_denials", "Refusals by the code of their first reason", ("code",),
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "strongroom_broker_admission_seconds", "From a connection or request to its decision on the disk",
            ("protocol",), buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._turned_away = Counter(
            "strongroom_broker_turned_away", "Connections and requests over a limit", ("port",), registry=self._registry
        )
        self._requests = Counter(
            "strongroom_broker_http_requests", "HTTP answers", ("port", "status"), registry=self._registry
        )

    def admission(self, *, protocol: str, granted: bool, codes: Iterable[str] = (), seconds: float | None) -> None:
        """Count one decision; `codes` are those of a refusal's reasons, `seconds` what it took if that is known."""
        self._admissions.labels(protocol, "granted" if granted else "denied").inc()
        if seconds is not None:
            self._seconds.labels(protocol).observe(seconds)
        first = next(iter(codes), None)
        if first is not None:
            self._denials.labels(self._bounded(first)).inc()

    def turned_away(self, port: str) -> None:
        """Count a peer that found no place, or a request over a rate."""
        self._turned_away.labels(port).inc()

    def answered(self, port: str, status: int) -> None:
        """Count an HTTP answer."""
        self._requests.labels(port, str(status) if 100 <= status <= 599 else "none").inc()

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show `strongroom_broker_NAME`, asked at each scrape; NaN where the value cannot be had then."""
        Gauge(f"strongroom_broker_{name}", meaning, registry=self._registry).set_function(_guarded(value))

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def values(self) -> Mapping[str, float]:
        """Return every sample by its name with its labels, for pages and tests."""
        return {
            _spelled(each.name, each.labels): each.value for all_ in self._registry.collect() for each in all_.samples
        }

    def _bounded(self, code: str) -> str:
        if code not in self._codes:
            if not _CODE.fullmatch(code) or len(self._codes) >= _MOST_CODES:
                return "other"
            self._codes.add(code)
        return code


def _spelled(name: str, labels: Mapping[str, str]) -> str:
    return f"{name}{{{','.join(f'{label}={value}' for label, value in sorted(labels.items()))}}}" if labels else name


def _guarded(value: Callable[[], float]) -> Callable[[], float]:
    def ask() -> float:
        try:
            return float(value())
        except Exception:  # noqa: BLE001  # a scrape shows what can be had; what fails is another metric's business
            return float("nan")

    return ask
