"""Where the adapter's numbers come from: replicas that are asked how busy they are, all at once, within bounds.

World: DNS, and one short connection to each replica's health port, in clear text: a replica with two-way TLS answers
nobody without a client's key, and no object may hold one (decision 22). Another source (the length of a queue, say) is
one more `Source`.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final, Protocol

from strongroom.errors import Unreachable

IN_FLIGHT: Final = "strongroom_requests_in_flight"
MAX_ANSWER_BYTES: Final = 4096  # head and body; a replica's has about 150
MAX_REPLICAS: Final = 10_000
ASKED_AT_ONCE: Final = 32
REPLICA_S: Final = 2.0  # for one replica
COLLECT_S: Final = 5.0  # for all: an HorizontalPodAutoscaler asks every 15 s and waits for 30
_REQUEST: Final = b"GET /load HTTP/1.0\r\n\r\n"  # 1.0: one answer, in one piece, and the end of the connection
_ANSWERED: Final = re.compile(rb"HTTP/1\.[01] 200[ \r]")
_log: Final = logging.getLogger("strongroom.deploy.adapter")


class MetricUnknown(Unreachable):
    """A metric has no value now: too few of those who would know it answered."""

    code = "SR-ADAPTER-NO-VALUE"
    fix = "Check that replicas are ready, and that the adapter may connect to their health port (NetworkPolicy)."


class Source(Protocol):
    """One metric of the whole deployment."""

    @property
    def metric(self) -> str:
        """What it is called."""

    def read(self) -> float:
        """Return its value now, within seconds. Raises MetricUnknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """Where all replicas are."""

    host: str  # the headless Service: one address for each replica that is ready
    port: int  # of their health ports

    def addresses(self) -> tuple[str, ...]:
        """Return the replicas' addresses. Raises MetricUnknown."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as problem:
            raise MetricUnknown(f"{self.host}: {problem.strerror or problem}") from None
        return tuple(sorted({str(entry[4][0]) for entry in found}))[:MAX_REPLICAS]

    def answer(self, address: str) -> bytes:
        """Return what one replica answers, head and body, within REPLICA_S. Raises OSError."""
        end, found = time.monotonic() + REPLICA_S, bytearray()
        with socket.create_connection((address, self.port), REPLICA_S) as connection:
            connection.sendall(_REQUEST)
            while (left := end - time.monotonic()) > 0:
                connection.settimeout(left)
                piece = connection.recv(MAX_ANSWER_BYTES)
                if not piece:
                    return bytes(found)
                found += piece
                if len(found) > MAX_ANSWER_BYTES:
                    raise OSError(f"it sent more than {MAX_ANSWER_BYTES} bytes")
        raise TimeoutError("it did not answer in time")


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

    def _ask(self, places: Iterable[str]) -> list[int | None]:
        executor = ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="replica")
        try:
            asked = [executor.submit(self._one, place) for place in places]
            done = wait(asked, COLLECT_S).done
            return [each.result() if each in done else None for each in asked]
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _one(self, address: str) -> int | None:
        try:
            answer = self.replicas.answer(address)
        except OSError as problem:
            _log.warning("replica %s did not answer: %s", address, problem.strerror or problem)
            return None
        found = value_of(self.metric, answer)
        if found is None:
            _log.warning("replica %s gave no %s", address, self.metric)
        return found


def value_of(metric: str, answer: bytes) -> int | None:
    """Return a gauge out of an HTTP answer in Prometheus' text format, None where it is not there. Raises nothing."""
    head, _, body = answer.partition(b"\r\n\r\n")
    found = re.search(rb"^" + re.escape(metric.encode()) + rb" ([0-9]{1,9})\n", body, re.M)
    return int(found[1]) if found is not None and _ANSWERED.match(head) else None
