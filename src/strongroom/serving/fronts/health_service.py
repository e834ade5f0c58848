"""gRPC's health service, and it tells the truth: SERVING only while every model can answer.

Watchers are told when that changes; `look` is called every so often by whoever has the clock.
Source: grpc/health/v1/health.proto, spec `model-server.md` section 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import StrongroomError
from strongroom.serving.fronts.streams import Opener, Outlet, Stream
from strongroom.serving.requests.rpc import Method, Reply
from strongroom.serving.status import NotServed
from strongroom.tfserving import messages

CHECK: Final = f"/{messages.HEALTH_SERVICE}/Check"
WATCH: Final = f"/{messages.HEALTH_SERVICE}/Watch"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
SERVICES: Final = frozenset(
    {
        "",  # the server as a whole
        "PredictionService",  # these two as TensorFlow Serving names them
        "ModelService",
        messages.PREDICTION_SERVICE,
        messages.MODEL_SERVICE,
    }
)


class Health:
    """The service: `ready` says whether the server can answer right now."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready
        self._watching: set[_Watch] = set()

    @property
    def methods(self) -> Mapping[str, Method]:
        """The unary methods."""
        return {CHECK: self._check}

    @property
    def streams(self) -> Mapping[str, Opener]:
        """The streaming methods."""
        return {WATCH: self._watch}

    def status(self, service: str) -> int:
        """Return the ServingStatus of a service."""
        if service not in SERVICES:
            return SERVICE_UNKNOWN
        return SERVING if self._ready() else NOT_SERVING

    def look(self) -> None:
        """Tell watchers what has changed since the last look."""
        for watch in tuple(self._watching):
            watch.tell()

    def _check(self, request: bytes | memoryview, _deadline: float | None, reply: Reply) -> None:
        try:
            reply(_response(self._known(_service(bytes(request)))))
        except StrongroomError as problem:
            reply(problem)

    def _known(self, service: str) -> int:
        status = self.status(service)
        if status == SERVICE_UNKNOWN:
            raise NotServed(f"unknown service {service[:80]}")
        return status

    def _watch(self, outlet: Outlet) -> Stream:
        return _Watch(self, outlet, self._watching)


@dataclass(eq=False, slots=True)
class _Watch:
    """One watcher: it gets the status at once, then every change."""

    health: Health
    outlet: Outlet
    register: set[_Watch]
    service: str = ""
    told: int = field(default=-1)

    def message(self, data: bytes) -> None:
        self.service = _service(data)
        self.register.add(self)
        self.tell()

    def ended(self) -> None:
        """A watcher has nothing more to say; it goes on listening."""

    def closed(self) -> None:
        self.register.discard(self)

    def tell(self) -> None:
        status = self.health.status(self.service)
        if status != self.told:
            self.told = status
            self.outlet.send(_response(status))


def _service(request: bytes) -> str:
    return str(messages.parse(messages.HealthCheckRequest, request).service)


def _response(status: int) -> bytes:
    return bytes(messages.HealthCheckResponse(status=status).SerializeToString())
