"""A queue as somebody sees it who looks after it: what answers, what waits, who works. Defect D15 of the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from strongroom.errors import Unreachable
from strongroom.streaming.link.queue import AsyncQueue
from strongroom.streaming.link.records import WorkerSeen
from strongroom.streaming.link.replies import RedisUnexpected

NO_GROUP: Final = "no worker has made it yet: start one with strongroom queue serve"


@dataclass(frozen=True, slots=True)
class Component:
    """A part that works, or why it does not."""

    name: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """What there is to see."""

    components: tuple[Component, ...]
    waiting: int = 0
    pending: int = 0
    bytes: int = 0
    dead: int = 0
    workers: tuple[WorkerSeen, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "waiting": self.waiting,
            "pending": self.pending,
            "bytes": self.bytes,
            "dead": self.dead,
            "workers": [
                {"name": each.name, "last_seen_ms": each.last_seen_ms, "alive": each.alive, **(each.state or {})}
                for each in self.workers
            ],
        }


async def look(queue: AsyncQueue) -> QueueStatus:
    """Ask Redis about a queue. Raises RedisRefused; that Redis is away is part of the answer."""
    try:
        return await _look(queue)
    except Unreachable as problem:
        unknown = "Redis is not reached"
        return QueueStatus(
            (Component("redis", problem.sentence), Component("queue", unknown), Component("workers", unknown))
        )


async def _look(queue: AsyncQueue) -> QueueStatus:
    backlog, workers, dead = await queue.backlog(), await queue.workers(), await queue.dead_count()
    try:
        pending, reason = sum((await queue.pending()).values()), None
    except RedisUnexpected:
        pending, reason = 0, NO_GROUP
    parts = (Component("redis"), Component("queue", reason), Component("workers", _of_workers(workers)))
    return QueueStatus(parts, backlog.records, pending, backlog.bytes, dead, workers)


def _of_workers(workers: Sequence[WorkerSeen]) -> str | None:
    alive = [each for each in workers if each.state is not None]
    if not alive:
        return "no worker is alive: start one with strongroom queue serve"
    if not any(each.state and each.state.get("ready") for each in alive):
        return f"none of {len(alive)} workers is ready"
    return None
