"""What a worker has done so far, in numbers, as Prometheus reads them: no label names a client or a record. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from strongroom.clusterserving.faults import Fault
from strongroom.serving.operations.metrics_text import Cell, Family, Kind

BATCH_BOUNDS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
REMEMBERED_BATCHES: Final = 200
_PREFIX: Final = "strongroom_queue_worker_"


@dataclass(slots=True)
class Counts:
    """Counters since the start of one worker; all belong to one event loop."""

    served: int = 0
    redelivered: int = 0
    left: int = 0  # sealed to a key that this worker does not hold, or the model lost its lease
    late_answers: int = 0  # somebody else had answered already
    dead_letters: int = 0
    record_bytes: int = 0
    batches: int = 0
    batch_records: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    _batch_counts: list[int] = field(default_factory=lambda: [0] * (len(BATCH_BOUNDS_S) + 1))
    _batch_seconds: float = 0.0
    _recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_BATCHES))

    @property
    def errors(self) -> int:
        """Records that were answered with an error."""
        return sum(self.faults.values())

    @property
    def mean_record_bytes(self) -> int:
        """Of the records read so far, 0 before the first."""
        answered = self.served + self.errors
        return self.record_bytes // answered if answered else 0

    def batch(self, records: int, seconds: float) -> None:
        """Count one run of the model over so many records."""
        self.batches += 1
        self.batch_records += records
        self._batch_seconds += seconds
        self._batch_counts[bisect_left(BATCH_BOUNDS_S, seconds)] += 1
        self._recent_s.append(seconds)

    def slow_batch_s(self) -> float:
        """Return the 99th percentile of recent batches, 0.0 before the first."""
        ordered = sorted(self._recent_s)
        return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] if ordered else 0.0

    def families(self, settings: Mapping[str, int], *, backlog: int | None, in_flight: int) -> tuple[Family, ...]:
        """Return these counters, the effective settings, and what waits."""
        gauges = {f"setting_{name}": value for name, value in settings.items()}
        gauges |= {"in_flight": in_flight, "mean_record_bytes": self.mean_record_bytes}
        if backlog is not None:
            gauges["backlog"] = backlog
        return (*self._counted(), *(_one(Kind.GAUGE, name, value) for name, value in gauges.items()))

    def _counted(self) -> list[Family]:
        errors = tuple(
            Cell((("code", str(fault)),), self.faults[str(fault)]) for fault in Fault if self.faults[str(fault)]
        )
        batch = Cell((), self._batch_seconds, tuple(self._batch_counts), BATCH_BOUNDS_S)
        counted = {
            "records_served": self.served, "redelivered": self.redelivered, "left_pending": self.left,
            "late_answers": self.late_answers, "dead_letters": self.dead_letters, "batches": self.batches,
            "batch_records": self.batch_records,
        }  # fmt: skip
        return [
            *(_one(Kind.COUNTER, f"{name}_total", value) for name, value in counted.items()),
            Family(f"{_PREFIX}errors_total", Kind.COUNTER, errors),
            Family(f"{_PREFIX}batch_seconds", Kind.HISTOGRAM, (batch,)),
        ]


def _one(kind: Kind, name: str, value: float) -> Family:
    return Family(_PREFIX + name, kind, (Cell((), value),))
