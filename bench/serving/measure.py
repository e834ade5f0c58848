"""CPU seconds per request: a warm-up that also finds how many requests make a run, then the least of several runs.

Servers that are compared run side by side and take turns, so that a neighbour on the machine disturbs them alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from harness import percentile
from serving.load import Run
from serving.processes import Server

WARM_UP_COUNTS: Final = (8, 64, 2000)
MIN_REQUESTS: Final = 24
TICK_S: Final = 0.01  # what /proc counts in


@dataclass(frozen=True)
class Effort:
    """How long to measure: server CPU seconds of one run, and runs; how many requests warm a server up, in turns."""

    cpu_s: float
    runs: int
    warm_up: tuple[int, ...] = WARM_UP_COUNTS


FULL: Final = Effort(1.5, 3)
QUICK: Final = Effort(0.3, 2)
TRIAL: Final = Effort(0.05, 1, (8, 64))


@dataclass(frozen=True)
class Measured:
    """One kind of request to one server: the run that cost least; rate and latencies of the fastest run."""

    cpu_us: float
    per_s: float
    p50_ms: float
    p99_ms: float
    requests: int
    all_cpu_us: tuple[float, ...]


@dataclass
class Contestant:
    """A server that takes its turns; `asking(count)` asks it."""

    server: Server
    asking: Callable[[int], Run]
    count: int = 0
    runs: list[tuple[float, Run]] = field(default_factory=list)

    def warm_up(self, effort: Effort) -> None:
        """Ask until the cost of a request is known well enough to say how many fill a run."""
        for count in effort.warm_up:
            cpu_s = self.server.cpu_s()
            self.asking(count)
            spent = self.server.cpu_s() - cpu_s
            self.count = max(MIN_REQUESTS, int(effort.cpu_s * count / max(spent, TICK_S)))
            if spent >= 20 * TICK_S:
                return

    def turn(self) -> None:
        """Make one run."""
        cpu_s = self.server.cpu_s()
        run = self.asking(self.count)
        self.runs.append((self.server.cpu_s() - cpu_s, run))

    def result(self) -> Measured:
        """Return what the runs say."""
        costs = tuple(1e6 * cpu_s / self.count for cpu_s, _ in self.runs)
        fastest = min((run for _, run in self.runs), key=lambda run: run.wall_s)
        p50_ms, p99_ms = (1000 * percentile(fastest.latencies_s, share) for share in (0.5, 0.99))
        return Measured(min(costs), self.count / fastest.wall_s, p50_ms, p99_ms, self.count, costs)


def measure(contestants: list[Contestant], effort: Effort) -> list[Measured]:
    """Measure servers beside each other, in turns."""
    for each in contestants:
        each.warm_up(effort)
    for _ in range(effort.runs):
        for each in contestants:
            each.turn()
    return [each.result() for each in contestants]
