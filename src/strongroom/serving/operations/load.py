"""How many requests this server holds now, as the health port tells it: one gauge, the number that autoscaling adds up.

Unknown until the server listens; of several processes that share a port it is the sum. Pure. Source: decision 22.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from strongroom.serving.operations.metrics_text import Cell, Family, Kind, exposition

IN_FLIGHT: Final = "strongroom_requests_in_flight"


@dataclass(slots=True)
class Load:
    """Who knows the number; `text` asks them."""

    here: Callable[[], float] | None = None  # what this process holds; None until it listens
    elsewhere: Callable[[], Awaitable[float]] | None = None  # what the others hold that share its port

    async def text(self) -> str | None:
        """Return the gauge as Prometheus reads it, None before there is one."""
        if self.here is None:
            return None
        others = await self.elsewhere() if self.elsewhere is not None else 0.0
        return exposition([Family(IN_FLIGHT, Kind.GAUGE, (Cell((), self.here() + others),))])
