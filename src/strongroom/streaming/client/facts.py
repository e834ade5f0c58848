"""What workers say of themselves in their heartbeats, as far as a client needs it. Pure.

From it a client knows the queue's bounds, whether records must be sealed, and whether anybody is there who tells a
reply list of results. Whatever is missing or odd in a heartbeat counts as not said. Source: spec `cluster-serving.md`
section 11.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from strongroom.streaming.link.queue import Bounds
from strongroom.streaming.link.records import Backlog, WorkerSeen

LARGEST: Final = 1 << 50


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the workers of a queue. `alive`: how many there are."""

    alive: int = 0
    requires_sealed: bool = False
    bounds: Bounds = Bounds()  # noqa: RUF009  # frozen

    @classmethod
    def of(cls, workers: Sequence[WorkerSeen], usual: Bounds) -> Facts:
        """Return what the living workers say; where they differ, the smallest bound counts."""
        states = [each.state for each in workers if each.state is not None]
        limits = [each["limits"] for each in states if isinstance(each.get("limits"), Mapping)]
        bounds = replace(
            usual,
            max_records=_least(limits, "records", usual.max_records),
            max_bytes=_least(limits, "bytes", usual.max_bytes),
            max_record_bytes=_least(limits, "record_bytes", usual.max_record_bytes),
        )
        return cls(len(states), any(each.get("requires_sealed") is True for each in states), bounds)

    def spelled(self, backlog: Backlog) -> str:
        """Say how much waits, as an error that refuses more of it does."""
        return (
            f"{backlog.records} records ({backlog.bytes} bytes) wait of at most {self.bounds.max_records} "
            f"({self.bounds.max_bytes} bytes), for {self.alive} workers"
        )


def _least(limits: Sequence[Mapping[str, Any]], word: str, usual: int) -> int:
    said = [each[word] for each in limits if type(each.get(word)) is int and 0 < each[word] <= LARGEST]
    return min(said, default=usual)
