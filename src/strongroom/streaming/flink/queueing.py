"""Serve a queue on a Flink cluster, and end that again with nothing in hand."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Final

from strongroom.errors import BadInput, Unreachable
from strongroom.streaming.flink.home import FlinkHome
from strongroom.streaming.flink.looking import FINISHED, checkpoint_counts, job_failure, job_state
from strongroom.streaming.flink.rest import FlinkAway, FlinkRefused, Rest
from strongroom.streaming.flink.submitting import JOBS, JobFailed, Program, submit

NAME: Final = "strongroom queue"  # of the job in Flink, before the queue's own
START_S: Final = 120.0
STOP_S: Final = 90.0
_ASK_AGAIN_S: Final = 0.25  # each time costs Java a handshake


class ServesAlready(BadInput):
    """This Flink cluster serves the queue already; a second job would use the same consumers' names."""

    code = "SR-FLINK-SERVES"
    fix = "End it first with strongroom queue flink --stop; or give the new one another number with --parallelism then."


class NotServed(BadInput):
    """This Flink cluster does not serve the queue."""

    code = "SR-FLINK-NOT-SERVED"
    fix = "strongroom flink status lists the jobs; jobName in config.yaml names the queue."


class JobStuck(Unreachable):
    """A Flink job did not get where it was to go in time."""

    code = "SR-FLINK-STUCK"
    fix = "strongroom flink status shows free slots, and flink page the reason: too few slots is the usual one."


def jobs_of(rest: Rest, queue: str) -> list[str]:
    """Return the ids of the jobs that serve a queue now. Raises FlinkAway, FlinkRefused."""
    return [
        str(job["jid"])
        for job in rest.get("/jobs/overview").get("jobs", [])
        if job.get("name") == f"{NAME} {queue}" and job.get("state") not in FINISHED
    ]


def start(
    rest: Rest, home: FlinkHome, config: Path, queue: str, *, parallelism: int = 1, launch: str = "",
    until_open: bool = False,
) -> str:  # fmt: skip
    """Submit the job that serves a queue, wait until Flink runs it, and return its id.

    `config`: config.yaml, at this path on every task manager. `launch`: the command that launches a worker there which
    proves itself, and finds its own configuration. `until_open`: wait until every worker has begun, and cancel the job
    if one cannot. Raises ServesAlready, JobFailed, JobStuck, FlinkAway.
    """
    if jobs_of(rest, queue):
        raise ServesAlready(f"the queue {queue} is served by job {jobs_of(rest, queue)[0]}")
    arguments: tuple[str, ...] = ("--config", str(config.absolute()), "--job", queue)
    arguments += ("--launch", launch) if launch else ()
    program = Program(file=JOBS / "serving.py", arguments=arguments, parallelism=parallelism, detached=True)
    (job,) = submit(rest.place, home, program)[:1] or [""]
    deadline = time.monotonic() + START_S
    try:
        _await_running(rest, job, deadline)
        if until_open:
            _await_open(rest, job, deadline)
    except BaseException:
        if until_open:
            with contextlib.suppress(FlinkRefused, FlinkAway):
                rest.cancel(job)
        raise
    return job


def _await_running(rest: Rest, job: str, deadline: float) -> None:
    while not _runs(rest, job):
        if job_state(rest, job) in FINISHED or time.monotonic() > deadline:
            raise JobStuck(f"job {job} does not run: {job_failure(rest, job) or job_state(rest, job)}")
        time.sleep(_ASK_AGAIN_S)


def _await_open(rest: Rest, job: str, deadline: float) -> None:
    """Wait for two checkpoints: the first may pass before any tick, the next one comes behind a tick.

    A worker's first tick lasts until it is open, and no checkpoint passes meanwhile.
    """
    for wanted in (1, 2):
        rest.post(f"/jobs/{job}/checkpoints", {"checkpointType": "CONFIGURED"})
        while checkpoint_counts(rest, job).get("completed", 0) < wanted:
            if (reason := job_failure(rest, job)) is not None:
                raise JobFailed(f"a worker of job {job} failed: {reason}")
            if time.monotonic() > deadline:
                raise JobStuck(f"the workers of job {job} did not begin")
            time.sleep(_ASK_AGAIN_S)


def stop(rest: Rest, queue: str) -> list[str]:
    """End the jobs that serve a queue, each with nothing in hand; return their ids.

    Raises NotServed, JobStuck, FlinkAway.
    """
    found = jobs_of(rest, queue)
    if not found:
        raise NotServed(f"no job here serves the queue {queue}")
    for job in found:
        try:
            rest.post(f"/jobs/{job}/stop", {"drain": True})
        except FlinkRefused:
            rest.cancel(job)  # no folder for savepoints, or the job is not running; a worker drains then as well
    deadline = time.monotonic() + STOP_S
    cancelled: set[str] = set()
    for job in found:
        while (state := job_state(rest, job)) not in FINISHED:
            if time.monotonic() > deadline:
                raise JobStuck(f"job {job} is still {state}")
            if state != "RUNNING" and job not in cancelled and state not in {"CANCELLING", "FAILING"}:
                rest.cancel(job)  # it was restarting, and has nothing in hand
                cancelled.add(job)
            time.sleep(_ASK_AGAIN_S)
    return found


def _runs(rest: Rest, job: str) -> bool:
    vertices = rest.get(f"/jobs/{job}").get("vertices") or []
    return bool(vertices) and all(each.get("status") == "RUNNING" for each in vertices)
