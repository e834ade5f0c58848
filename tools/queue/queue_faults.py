"""What breaks a queue on purpose: workers and Redis killed, stopped and cut off; scripts, memory and clients lost."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from scene import Scene, Worker

LOOK_S: Final = 0.05
KILLS: Final = ("worker killed", "worker killed", "worker asked to end", "Redis killed")
HARSH: Final = (
    *KILLS, "worker stopped", "worker stopped", "Redis stopped", "scripts flushed", "connections cut", "memory full",
    "worker stopped, killed after it was taken over",
)  # fmt: skip
BATCHES: Final = (1, 7, 64, 256)
AWAY_S: Final = (0.2, 3.0)  # claimIdleMs is 1000: both sides of it
LONG_AWAY_S: Final = 6.5  # longer than redisTimeout


class Killer:
    """Breaks something now and then, and mends it; the seed says when and what.

    It has no thread of its own: what it starts ends with the thread that started it.
    """

    def __init__(self, scene: Scene, seed: int, records_a_fault: float, *, harsh: bool) -> None:
        self._scene, self._records_a_fault = scene, records_a_fault
        self._kinds = HARSH if harsh else KILLS
        self._harsh = harsh
        self._dice = random.Random(seed)  # noqa: S311  # repeatable on purpose
        self._next_number = len(scene.workers) + 1
        self.kills: Counter[str] = Counter()
        self.drains_s: list[float] = []

    def until(self, over: threading.Event, came_back: Callable[[], int]) -> Iterator[int]:
        """Strike each time so and so many more records have come back, until `over` is set; yield how many have.

        Records count, not seconds: on a slow machine workers would be killed before they have begun.
        """
        next_at = self._dice.uniform(0.5, 1.5) * self._records_a_fault
        while not over.wait(LOOK_S):
            if came_back() >= next_at:
                yield came_back()
                self._strike(over)
                next_at = came_back() + self._dice.uniform(0.5, 1.5) * self._records_a_fault

    def _strike(self, over: threading.Event) -> None:
        kind = self._dice.choice(self._kinds)
        self.kills[kind] += 1
        if kind.startswith("worker"):
            self._strike_worker(kind, over)
        elif kind == "Redis killed":
            self._scene.redis.kill()
            over.wait(self._dice.uniform(0.0, 0.5))
            self._scene.redis.start()
        elif kind == "Redis stopped":
            self._stopped(self._scene.redis.pid, over, self._dice.choice((*AWAY_S, LONG_AWAY_S)))
        elif kind == "scripts flushed":
            self._scene.redis.admin("SCRIPT", "FLUSH")
        elif kind == "connections cut":
            self._scene.redis.admin("CLIENT", "KILL", "TYPE", "normal")
        else:
            self._fill_memory(over)

    def _strike_worker(self, kind: str, over: threading.Event) -> None:
        victim = self._dice.choice(self._scene.workers)
        if "stopped" in kind:
            self._stopped(victim.process.pid, over, self._dice.uniform(1.2, 4.0))
            if "killed" not in kind:
                return
        self._scene.workers.remove(victim)
        if kind == "worker asked to end":
            self.drains_s.append(victim.end())
        else:
            victim.process.kill()
            victim.process.wait()
        number = self._next_number if self._dice.random() < 0.5 else _number_of(victim)
        self._next_number += 1
        more = {"batchSize": self._dice.choice(BATCHES)} if self._harsh else {}
        self._scene.start_worker(number, **more)

    def _stopped(self, pid: int | None, over: threading.Event, seconds: float) -> None:
        """Let a process stand still; over comes no sooner, since the process has to go on in any case."""
        if pid is None:
            return
        os.kill(pid, signal.SIGSTOP)
        try:
            over.wait(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    def _fill_memory(self, over: threading.Event) -> None:
        """Leave Redis no memory for a while: what is in hand has to be finished, and nothing is to be taken in."""
        admin = self._scene.redis.admin
        told: Any = admin("CONFIG", "GET", "maxmemory")
        used = int(str(dict(_lines(admin("INFO", "memory")))["used_memory"]))
        admin("CONFIG", "SET", "maxmemory", used + self._dice.choice((-(1 << 20), 64 << 10)))
        try:
            over.wait(self._dice.uniform(0.3, 3.0))
        finally:
            admin("CONFIG", "SET", "maxmemory", bytes(told[1]))


def _lines(info: object) -> list[list[str]]:
    text = info.decode() if isinstance(info, bytes) else ""
    return [line.split(":", 1) for line in text.splitlines() if ":" in line]


def _number_of(worker: Worker) -> int:
    words = worker.process.args
    config = str(words[-1]) if isinstance(words, list) else ""
    return int(Path(config).stem.rpartition("-")[2])
