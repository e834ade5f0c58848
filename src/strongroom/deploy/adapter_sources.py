"""Where the adapter's numbers come from: replicas that are asked for their metrics, all at once, within bounds.

World: DNS, one short TLS connection to each replica. Another source (the length of a queue, say) is one more `Source`.
"""

from __future__ import annotations

import http.client
import logging
import math
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final, Protocol

from strongroom import __version__
from strongroom.errors import Unreachable

IN_FLIGHT: Final = "strongroom_requests_in_flight"
METRICS_PATH: Final = "/monitoring/prometheus/metrics"
MAX_METRICS_BYTES: Final = 4 * 1024 * 1024
MAX_REPLICAS: Final = 10_000
ASKED_AT_ONCE: Final = 32
REPLICA_S: Final = 2.0  # for one replica
COLLECT_S: Final = 5.0  # for all: an HorizontalPodAutoscaler asks every 15 s and waits for 30
_READ_BYTES: Final = 65536
_log: Final = logging.getLogger("strongroom.deploy.adapter")


class MetricUnknown(Unreachable):
    """A metric has no value now: too few of those who would know it answered."""

    code = "SR-ADAPTER-NO-VALUE"
    fix = "Check that replicas are ready, bear the name, and ask for no certificate (or give the adapter --identity)."


class Source(Protocol):
    """One metric of the whole deployment."""

    @property
    def metric(self) -> str:
        """What it is called."""

    def read(self) -> float:
        """Return its value now, within seconds. Raises MetricUnknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """Where all replicas are, and by what they are known."""

    host: str  # the headless Service: one address for each replica that is ready
    port: int
    server_name: str  # in their certificate
    tls: ssl.SSLContext
    path: str = METRICS_PATH

    def addresses(self) -> tuple[str, ...]:
        """Return the replicas' addresses. Raises MetricUnknown."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as problem:
            raise MetricUnknown(f"{self.host}: {problem.strerror or problem}") from None
        return tuple(sorted({str(entry[4][0]) for entry in found}))[:MAX_REPLICAS]

    def metrics(self, address: str) -> bytes:
        """Return one replica's metrics. Raises OSError or http.client.HTTPException."""
        end = time.monotonic() + REPLICA_S
        connection = _Pinned(address, self)
        try:
            connection.request("GET", self.path, headers={"User-Agent": f"strongroom/{__version__}"})
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise http.client.HTTPException(f"it answered {response.status}")
            return _bounded(response, end)
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class InFlight:
    """How many requests all replicas together hold: those that answer are added up.

    A replica that does not answer in time is busy rather than idle, so it counts as much as the others do on average.
    Where fewer than half answer there is no value, and an autoscaler without a value changes nothing.
    """

    replicas: Replicas
    metric: str = IN_FLIGHT
    addresses: Callable[[], tuple[str, ...]] | None = None  # of the replicas; by DNS unless a test says otherwise

    def read(self) -> float:
        """Return the sum. Raises MetricUnknown."""
        places = (self.addresses or self.replicas.addresses)()
        answers = [each for each in self._ask(places) if each is not None]
        if not places or len(answers) * 2 < len(places):
            raise MetricUnknown(f"{len(answers)} of {len(places)} replicas answered")
        return sum(answers) * len(places) / len(answers)

    def _ask(self, places: Iterable[str]) -> list[float | None]:
        executor = ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="replica")
        try:
            asked = [executor.submit(self._one, place) for place in places]
            done = wait(asked, COLLECT_S).done
            return [each.result() if each in done else None for each in asked]
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _one(self, address: str) -> float | None:
        try:
            return value_of(self.metric, self.replicas.metrics(address))
        except (OSError, http.client.HTTPException) as problem:
            reason = getattr(problem, "verify_message", None) or getattr(problem, "strerror", None) or problem
            _log.warning("replica %s gave no %s: %s", address, self.metric, reason)
            return None


def value_of(metric: str, text: bytes) -> float | None:
    """Return the sum of a metric's cells in Prometheus' text format, None where there is none. Raises nothing."""
    pattern = re.compile(rb"^" + re.escape(metric.encode()) + rb"(?:\{[^}\n]{0,1000}\})? ([0-9.eE+-]{1,32})\s*$", re.M)
    values = []
    for each in pattern.findall(text[:MAX_METRICS_BYTES]):
        try:
            values.append(float(each))
        except ValueError:
            return None
    found = sum(values)
    return found if values and math.isfinite(found) and found >= 0 else None


def trust(ca_pem: bytes, *, identity: tuple[str, str] | None = None) -> ssl.SSLContext:
    """Return the context for replicas of this CA; `identity`: paths of our certificate and key, for two-way TLS.

    Raises OSError or ValueError for files that are none of these.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=ca_pem.decode("ascii"))
    if identity is not None:
        context.load_cert_chain(*identity)
    return context


class _Pinned(http.client.HTTPSConnection):
    """A connection to one address, whose certificate has to bear the deployment's name."""

    def __init__(self, address: str, replicas: Replicas) -> None:
        super().__init__(replicas.server_name, replicas.port, timeout=REPLICA_S, context=replicas.tls)
        self._address, self._replicas = address, replicas

    def connect(self) -> None:
        """Connect to the address, and ask for the name."""
        plain = socket.create_connection((self._address, self._replicas.port), REPLICA_S)
        try:
            self.sock = self._replicas.tls.wrap_socket(plain, server_hostname=self._replicas.server_name)
        except BaseException:
            plain.close()
            raise


def _bounded(response: http.client.HTTPResponse, end: float) -> bytes:
    found = bytearray()
    while piece := response.read1(_READ_BYTES):
        found += piece
        if len(found) > MAX_METRICS_BYTES:
            raise http.client.HTTPException(f"it sent more than {MAX_METRICS_BYTES} bytes")
        if time.monotonic() > end:
            raise TimeoutError("it did not answer in time")
    return bytes(found)
