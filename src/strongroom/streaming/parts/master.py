"""The master of a queue on Flink: hands the job to Flink, keeps it there, and says in its readiness how it fares.

World: Flink's REST API, its client, a port for probes. A job manager that starts anew has forgotten its jobs, and a
queue that gets more task managers wants more workers: both times the job is handed over again. A job that runs stays
when the master ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from strongroom.errors import BadInput, StrongroomError
from strongroom.pki import disk, keys
from strongroom.serving.threads import in_thread
from strongroom.streaming.flink.looking import job_failure
from strongroom.streaming.worker.reports import Report

LOOK_EVERY_S: Final = 2.0
LATE_S: Final = 30.0  # without an answer for so long, nobody knows how the job fares
FILES: Final = {"ca.pem": "ca.crt", "cert.pem": "tls.crt", "key.pem": "tls.key"}


class MasterPart(BadInput):
    """The master of a queue on Flink cannot start with what it was given."""

    code = "SR-FLINK-MASTER"
    fix = "Give --keys the folder that strongroom keys open --part flink-client fills, and --parallelism at least 1."


class Asked(Protocol):
    """What is asked of Flink's REST API: `streaming.flink.rest.Rest`."""

    def get(self, path: str) -> dict[str, Any]:
        """Return a JSON answer. Raises FlinkAway, FlinkRefused."""
        ...


class Hands(Protocol):
    """What is done to jobs: `queueing` for one cluster and one queue."""

    def jobs(self) -> list[str]:
        """Return the jobs that serve the queue now."""
        ...

    def start(self, parallelism: int) -> str:
        """Hand the job over; return its id."""
        ...

    def stop(self) -> list[str]:
        """End the jobs, with nothing in hand."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSeen:
    """How a job fares: whether each of its steps runs, on how many workers, and how often it was saved."""

    id: str
    state: str
    runs: bool
    parallelism: int
    checkpoints: int
    failed_checkpoints: int
    failure: str | None

    @property
    def sentence(self) -> str:
        """What a probe is told."""
        if not self.runs:
            return f"job {self.id} is {self.state}" + (f": {self.failure}" if self.failure else "")
        return (
            f"job {self.id} runs on {self.parallelism} workers; {self.checkpoints} checkpoints were completed, "
            f"{self.failed_checkpoints} failed"
        )


def see(rest: Asked, job: str) -> JobSeen:
    """Ask how a job fares. Raises FlinkAway, FlinkRefused."""
    found = rest.get(f"/jobs/{job}")
    steps = [each for each in found.get("vertices") or [] if isinstance(each, dict)]
    runs = found.get("state") == "RUNNING" and bool(steps) and all(each.get("status") == "RUNNING" for each in steps)
    counts = rest.get(f"/jobs/{job}/checkpoints").get("counts") or {}
    return JobSeen(
        id=job, state=str(found.get("state")), runs=runs, parallelism=max(map(_parallelism, steps), default=0),
        checkpoints=int(counts.get("completed") or 0), failed_checkpoints=int(counts.get("failed") or 0),
        failure=None if runs else job_failure(rest, job),  # type: ignore[arg-type]  # it asks with get alone
    )  # fmt: skip


class Master:
    """Looks at one queue's job again and again, and does what is due. Not for several threads at a time."""

    def __init__(
        self, rest: Asked, hands: Hands, parallelism: int, *, clock: Callable[[], float] = time.monotonic,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """`parallelism`: how many workers there are to be. Raises MasterPart."""
        if parallelism < 1:
            raise MasterPart(f"{parallelism} workers are none")
        self._rest, self._hands, self._wanted = rest, hands, parallelism
        self._clock, self._tell = clock, tell
        self._report, self._at = Report(ready=False, reason="asking Flink"), clock()
        self._said = ""

    def look(self) -> None:
        """Look once, and do what is due; what goes wrong is what the report says."""
        try:
            job = self._job()
            seen = see(self._rest, job) if job is not None else None
        except StrongroomError as problem:
            self._say(ready=False, reason=problem.sentence)
            return
        if seen is None:
            self._say(ready=False, reason=f"there are fewer slots than {self._wanted}: waiting for task managers")
        else:
            self._say(ready=seen.runs, reason=seen.sentence)

    def report(self) -> Report:
        """Return what a probe is told."""
        if self._report.ready and self._clock() - self._at > LATE_S:
            return Report(ready=False, reason=f"nothing was seen of Flink for {LATE_S:.0f} s")
        return self._report

    def _job(self) -> str | None:
        """Return the job, handed over now if need be; None while there is no room for it."""
        jobs = self._hands.jobs()
        has_room = self._slots() >= self._wanted
        if jobs and has_room and see(self._rest, jobs[0]).parallelism != self._wanted:
            self._say(ready=False, reason=f"the job is handed over again, for {self._wanted} workers")
            self._hands.stop()
            jobs = []
        if not jobs and has_room:
            self._say(ready=False, reason=f"the job is handed over, for {self._wanted} workers")
            jobs = [self._hands.start(self._wanted)]
        return jobs[0] if jobs else None

    def _slots(self) -> int:
        return int(self._rest.get("/overview").get("slots-total") or 0)

    def _say(self, *, ready: bool, reason: str) -> None:
        self._report, self._at = Report(ready=ready, reason=reason), self._clock()
        told = reason.partition(";")[0]  # not each checkpoint
        if told != self._said:
            self._said = told
            self._tell(reason)


def _parallelism(step: dict[str, Any]) -> int:
    number = step.get("parallelism")
    return number if isinstance(number, int) else 0


def client_folder(opened: Path, run: Path) -> Path:
    """Copy the opened keys of `flink-client` to where Flink's client takes them from; return that folder.

    Raises MasterPart.
    """
    folder = run / "flink-client"
    folder.mkdir(mode=disk.SECRET_FOLDER_MODE, exist_ok=True)
    for name, source in FILES.items():
        try:
            disk.replace_private(folder / name, disk.read_bounded(opened / source, limit=keys.MAX_PEM_BYTES))
        except FileNotFoundError:
            raise MasterPart(f"{opened} holds no {source}") from None
    return folder


async def keep(stop: asyncio.Event, look: Callable[[], object]) -> None:
    """Call `look` every so often, beside the event loop, until `stop` is set; what it is at then is not waited for."""
    stopping = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set():
            looking = asyncio.create_task(in_thread(look, name="look at Flink"))
            await asyncio.wait({looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                looking.result()
                await asyncio.wait({stopping}, timeout=LOOK_EVERY_S)
            else:
                looking.cancel()
    finally:
        stopping.cancel()
