"""The plain runner beside the Flink runner: the same worker, the same environment, the same queue, one after another.

World: processes, the clock. Each runner is warm; measured is from the first record's admission to the last one's
answer, so the start of a model or of a JVM is not. Source: the target of 0.85 for the Flink runner.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from strongroom.clusterserving.faults import NotReady, QueueFull
from strongroom.errors import Unreachable
from strongroom.streaming.flink import queueing
from strongroom.streaming.flink.home import FlinkHome
from strongroom.streaming.flink.processes import end_group
from strongroom.streaming.flink.rest import Rest
from strongroom.streaming.link.queue import Queue
from strongroom.streaming.link.records import Admission

ROUND: Final = 500  # records admitted at once
DRAIN_S: Final = 300.0
_LOOK_AGAIN_S: Final = 0.01


class NotDrained(Unreachable):
    """A runner did not answer all records in time."""

    code = "SR-FLINK-NOT-DRAINED"
    fix = "Look at the worker's log; give fewer records on a slow machine."


class Records(Protocol):
    """Makes records."""

    def __call__(self, uri: str) -> Mapping[str, str | bytes]:
        """Return the fields of one record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Records answered in a second, by turns of each runner."""

    plain: tuple[float, ...]
    flink: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The best of Flink's over the best of the plain runner's."""
        return max(self.flink) / max(self.plain)


def compare(
    config: Path, client: Queue, rest: Rest, home: FlinkHome, records: Records, *, count: int = 20_000, turns: int = 3
) -> Rates:
    """Measure both. `config`: a worker's config.yaml; `client` admits.

    Raises NotDrained and what admitting, submitting and stopping raise.
    """
    with _plain(config, home):
        plain = _turns(client, records, count, turns)
    queueing.start(rest, home, config, client.job.name)
    try:
        flink = _turns(client, records, count, turns)
    finally:
        queueing.stop(rest, client.job.name)
    return Rates(plain=plain, flink=flink)


@contextmanager
def _plain(config: Path, home: FlinkHome) -> Iterator[None]:
    command = [str(home.python), "-m", "strongroom", "queue", "serve", "-c", str(config)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
        process_group=0,
    )  # fmt: skip
    try:
        yield
        process.terminate()
        process.wait(60)
    finally:
        end_group(process)


def _turns(client: Queue, records: Records, count: int, turns: int) -> tuple[float, ...]:
    """Return the rate of each turn; one more before them warms up and is not counted."""
    _await_worker(client, records)
    _rate(client, records, max(1, count // 10))
    return tuple(_rate(client, records, count) for _ in range(turns))


def _await_worker(client: Queue, records: Records) -> None:
    """Wait until a worker has made the queue and answered a first record. Raises NotDrained."""
    deadline = time.monotonic() + DRAIN_S
    while isinstance(client.admit_many([Admission(records("compare-first"))])[0], NotReady):
        if time.monotonic() > deadline:
            raise NotDrained(f"no worker came within {DRAIN_S:.0f} s")
        time.sleep(_LOOK_AGAIN_S)
    while client.result("compare-first") is None:
        if time.monotonic() > deadline:
            raise NotDrained(f"the first record has no result after {DRAIN_S:.0f} s")
        time.sleep(_LOOK_AGAIN_S)
    client.forget(["compare-first"])


def _admit(client: Queue, admissions: list[Admission]) -> None:
    """Admit all; what a full queue refuses is sent again once it has room."""
    while admissions:
        entries = client.admit_many(admissions)
        for entry in entries:
            if isinstance(entry, Exception) and not isinstance(entry, QueueFull):
                raise entry
        admissions = [each for each, entry in zip(admissions, entries, strict=True) if isinstance(entry, QueueFull)]
        if admissions:
            time.sleep(_LOOK_AGAIN_S)


def _rate(client: Queue, records: Records, count: int) -> float:
    """Admit records and wait until all are answered; return records in a second, from the first admission on."""
    uris = [f"compare-{number}" for number in range(count)]
    rounds = [uris[start : start + ROUND] for start in range(0, count, ROUND)]
    admissions = [[Admission(records(uri)) for uri in each] for each in rounds]
    begun = time.monotonic()
    for each in admissions:
        _admit(client, each)
    while (left := client.backlog().records) > 0:
        if time.monotonic() > begun + DRAIN_S:
            raise NotDrained(f"{left} of {count} records wait after {DRAIN_S:.0f} s")
        time.sleep(_LOOK_AGAIN_S)
    rate = count / (time.monotonic() - begun)
    for uris_of_a_round in rounds:
        client.forget(uris_of_a_round)
    return rate
