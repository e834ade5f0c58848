"""The plain runner beside the Flink runner: the same worker, the same environment, one Redis, turn by turn.

Both are warm all the time, each with a queue of its own, and one idles while the other works. Measured as `strongroom
queue bench` does, from the first record sent to the last result in hand. CPU is of the runner's processes alone: a
plain worker, or the task managers with their Python workers and the job manager.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from scene import Scene, cpu_seconds, linear

from strongroom.clusterserving.names import Job
from strongroom.serving.operations.detached import members
from strongroom.streaming.bench import numbers, senders
from strongroom.streaming.bench.plan import Plan
from strongroom.streaming.flink import queueing
from strongroom.streaming.flink.cluster import Cluster
from strongroom.streaming.flink.home import FlinkHome

FLOATS: Final = np.array([1, 2, 3, 4], np.float32)
WARM: Final = 2_000  # records before the first turn
KEYS: Final = {"batchSize": 64}


@dataclass(frozen=True, slots=True)
class Turn:
    """What one runner did in one turn: records per second, CPU microseconds for each, the machine's load before."""

    rate: float
    cpu_us: float
    load: float


@dataclass(frozen=True, slots=True)
class Compared:
    """The turns of both, in the order they were taken."""

    plain: tuple[Turn, ...]
    flink: tuple[Turn, ...]

    @property
    def rates(self) -> float:
        """Flink's records per second over the plain runner's, median of the turns."""
        return median(there.rate / here.rate for here, there in zip(self.plain, self.flink, strict=True))

    @property
    def cpu(self) -> float:
        """Flink's records per second of CPU over the plain runner's, median of the turns."""
        return median(here.cpu_us / there.cpu_us for here, there in zip(self.plain, self.flink, strict=True))


def compare(folder: Path, cluster: Cluster, home: FlinkHome, *, count: int, turns: int) -> Compared:
    """Measure records of four numbers against a model that costs nearly nothing: the runner is all there is."""
    with _both(folder, cluster, home) as (plain, flink):
        worker = plain.workers[0].process.pid

        def leaders() -> list[int]:
            return [pid for each in cluster.running.processes for pid in members(each.pid)]

        for scene in (plain, flink):
            _turn(scene, list, WARM)
        here, there = [], []
        for _ in range(turns):
            here.append(_turn(plain, lambda: [worker], count))
            there.append(_turn(flink, leaders, count))
    return Compared(tuple(here), tuple(there))


@contextmanager
def _both(folder: Path, cluster: Cluster, home: FlinkHome) -> Iterator[tuple[Scene, Scene]]:
    with Scene.make(folder / "runners", model=linear(), keys=KEYS, job="plain") as plain:
        plain.python = (str(home.python),)
        plain.await_ready(plain.start_worker(1))
        flink = plain.neighbour(Job("flink"))
        queueing.start(cluster.rest(), home, flink.config(), flink.job.name, until_open=True)
        try:
            yield plain, flink
        finally:
            queueing.stop(cluster.rest(), flink.job.name)


def _turn(scene: Scene, processes: Callable[[], Iterable[int]], count: int) -> Turn:
    load, before = os.getloadavg()[0], _cpu_seconds(list(processes()))
    plan = Plan(settings=scene.settings(form="raw"), images=count, processes=1, inputs={"t": FLOATS}, window=1024)
    found = numbers.numbers(senders.run(plan, lambda _seen, _bad: None), images=count)
    if found["invalid"]:
        raise AssertionError(f"records without a prediction: {found['errors']}")
    spent = _cpu_seconds(list(processes())) - before
    return Turn(found["images_per_s"], 1e6 * spent / count, load)


def _cpu_seconds(processes: Sequence[int]) -> float:
    return sum(cpu_seconds(pid) for pid in processes)
