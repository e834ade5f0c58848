"""What an agent did, as events of a job's report: no keys, nothing of the data. World: the events' file."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from strongroom.analytics.agent.admission import Asked
from strongroom.analytics.agent.server import Use
from strongroom.analytics.session.events import EVENTS_VARIABLE, EventKind, record
from strongroom.analytics.session.measured import measurement_of
from strongroom.errors import StrongroomError
from strongroom.platforms import Platform
from strongroom.sparkjobs.registration import Registration

__all__ = ["EVENTS_VARIABLE", "Events"]


class Events:
    """Appends to a file; None: to the one that the environment names, if it names one.

    `role`: what this process is, as a roll call names it ("executor 3"); `application`: of which of Spark's.
    """

    def __init__(self, path: Path | None, *, role: str = "", application: str = "") -> None:
        self._path = path
        self._who = {"role": role, "application": application} if role else {}
        self.admission: Registration | None = None  # what an executor tells its driver of it

    def admitted(self, asked: Asked, platform: Platform, seconds: float, *, lease_s: float = 0.0) -> None:
        """Say that this process was given what it asked for. `lease_s`: for how long, 0 without an end."""
        self.admission = Registration(
            time=datetime.now(UTC).isoformat(timespec="milliseconds"), platform=platform.name,
            measurement=measurement_of(platform), broker=asked.broker, keys=asked.keys, seconds=round(seconds, 4),
            lease_s=lease_s,
        )  # fmt: skip
        record(EventKind.ADMITTED, {**asdict(self.admission), "job": asked.job, **self._who}, to=self._path)

    def refused(self, problem: StrongroomError, executor: str) -> None:
        """Say that a process stopped before it had anything."""
        record(
            EventKind.REFUSED,
            {"code": problem.code, "sentence": problem.sentence, "executor": executor, **self._who},
            to=self._path,
        )

    def used(self, use: Use, times: int) -> None:
        """Say what a process below did with a key, and how often."""
        record(
            EventKind.KEY,
            {"op": use.op, "key_id": use.key_id, "ok": use.ok, "times": times, "process": use.pid,
             "program": use.program, **self._who},
            to=self._path,
        )  # fmt: skip
