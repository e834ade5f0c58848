"""Who answers a front's requests: workers behind a queue, or a model server. A front sees no more than this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from strongroom.clusterserving.values import Inputs, Result
from strongroom.streaming.frontend.bucket import TokenBucket
from strongroom.streaming.frontend.metrics import FrontMetrics
from strongroom.streaming.frontend.servables import Servable


class Backend(Protocol):
    """Answers instances. All methods belong to one event loop."""

    async def predict(
        self, instances: Sequence[Inputs], *, timeout_s: float, idempotency_key: str | None = None
    ) -> list[Result]:
        """Return one result for each instance, in order; what fails is a result with its error. Never raises for one.

        When the caller is cancelled, nobody waits for the results any more, and they are not kept.
        """

    async def not_ready_reason(self) -> str | None:
        """Return why it cannot answer now, None where it can."""

    async def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True, slots=True)
class Model:
    """A servable with who answers for it, and its bucket where it has one."""

    servable: Servable
    backend: Backend
    bucket: TokenBucket | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What GET /models shows."""
        return dict(self.servable.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a front treats requests. `tokens_per_second` None: no rate limit; the original's defaults otherwise."""

    parallelism: int = 1000
    tokens_per_second: int | None = None
    patience_s: float = 0.1  # tokenAcquireTimeout
    timeout_s: float = 100.0  # where a request does not name its own (X-Request-Timeout-Ms)
    body_bytes: int = 64 * 1024 * 1024
    bodies_bytes: int = 512 * 1024 * 1024  # of all requests together
    client_certificates: bool = False  # whether callers must have one
    metrics: FrontMetrics = field(default_factory=FrontMetrics)
