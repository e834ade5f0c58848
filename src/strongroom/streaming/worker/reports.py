"""What one worker process tells of itself, to its own health port or to the supervisor of several. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from strongroom.serving.operations.metrics_text import Family, exposition, summed

MAX_REPORT_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Report:
    """Whether a worker is ready, why not, and what it has counted."""

    ready: bool
    reason: str
    families: tuple[Family, ...] = ()

    def to_line(self) -> bytes:
        """Return the report as one line."""
        found = {"ready": self.ready, "reason": self.reason, "families": [each.to_json() for each in self.families]}
        return json.dumps(found).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read what `to_line` wrote: the supervisor reads its own children alone."""
        found = json.loads(line)
        return cls(bool(found["ready"]), str(found["reason"]), tuple(map(Family.from_json, found["families"])))


def together(reports: Iterable[Report]) -> Report:
    """Return several workers' reports as one: ready when all are, counters and gauges added."""
    found = tuple(reports)
    reasons = [f"worker {at}: {each.reason}" for at, each in enumerate(found, 1) if not each.ready]
    families = tuple(summed([each.families for each in found]))
    return Report(bool(found) and not reasons, "; ".join(reasons) or "ready", families)


def metrics_text(report: Report) -> str:
    """Return what Prometheus reads."""
    return exposition(report.families)
