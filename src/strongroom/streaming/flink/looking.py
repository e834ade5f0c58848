"""What a cluster is doing: its task managers, jobs, results and checkpoints, read from the REST API."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Final

from strongroom.streaming.flink.rest import FlinkAway, FlinkRefused, Rest

FINISHED: Final = frozenset({"FINISHED", "CANCELED", "FAILED"})
_PYTHON_TRACE: Final = "Traceback (most recent call last):"
_PYTHON_ERROR: Final = re.compile(r"(?!java\.|org\.|Caused by)[A-Za-z_][\w.]{0,200}: \S", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """One job. `duration_ms` since its start; checkpoints are counted since then too."""

    id: str
    name: str
    state: str
    duration_ms: int
    checkpoints: int
    failed_checkpoints: int
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskManagerState:
    """One task manager."""

    id: str
    slots: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """A cluster as it answers now."""

    version: str
    slots: int
    free: int
    task_managers: tuple[TaskManagerState, ...]
    jobs: tuple[JobState, ...]

    def to_json_object(self) -> dict[str, Any]:
        """Return what a machine reads."""
        return asdict(self)


def look(rest: Rest) -> ClusterState:
    """Ask a cluster for everything. Raises FlinkAway, FlinkRefused."""
    overview, managers, jobs = rest.get("/overview"), rest.get("/taskmanagers"), rest.get("/jobs/overview")
    try:
        return ClusterState(
            version=str(overview["flink-version"]),
            slots=int(overview["slots-total"]),
            free=int(overview["slots-available"]),
            task_managers=tuple(
                TaskManagerState(id=str(each["id"]), slots=int(each["slotsNumber"]), free=int(each["freeSlots"]))
                for each in managers["taskmanagers"]
            ),
            jobs=tuple(_job(rest, each) for each in jobs["jobs"]),
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise FlinkAway(f"Flink's answer has no {problem}") from None


def job_state(rest: Rest, job: str) -> str:
    """Return the word for a job's state, as in RUNNING or FINISHED. Raises FlinkAway, FlinkRefused."""
    return str(rest.get(f"/jobs/{job}").get("state", ""))


def job_failure(rest: Rest, job: str) -> str | None:
    """Return in one line why a job failed or restarted, if it did. Raises FlinkAway, FlinkRefused."""
    history = rest.get(f"/jobs/{job}/exceptions").get("exceptionHistory") or {}
    entries = history.get("entries") if isinstance(history, dict) else None
    text = str(entries[0].get("stacktrace", "")) if entries else ""
    return deepest_cause(text)


def deepest_cause(text: str) -> str | None:
    """Return the line of a Java stack trace that says what went wrong: of Python's own, where Python failed."""
    lines = text.splitlines()
    python = [line for line in lines if _PYTHON_ERROR.match(line)] if _PYTHON_TRACE in text else []
    causes = python or [line for line in lines if line.startswith("Caused by: ")] or lines
    return causes[-1].removeprefix("Caused by: ")[:300] if causes else None


def checkpoint_counts(rest: Rest, job: str) -> dict[str, Any]:
    """Return how many checkpoints of a job were completed, failed and restored; nothing for a job that makes none.

    Raises FlinkAway.
    """
    try:
        counts = rest.get(f"/jobs/{job}/checkpoints").get("counts")
    except FlinkRefused:  # a batch job, or one that Flink has not set up yet
        return {}
    return counts if isinstance(counts, dict) else {}


def _job(rest: Rest, job: dict[str, Any]) -> JobState:
    numbers = checkpoint_counts(rest, job["jid"]) if job["state"] == "RUNNING" else {}
    return JobState(
        id=str(job["jid"]),
        name=str(job["name"]),
        state=str(job["state"]),
        duration_ms=int(job["duration"]),
        checkpoints=int(numbers.get("completed", 0)),
        failed_checkpoints=int(numbers.get("failed", 0)),
        restarts=int(numbers.get("restored", 0)),
    )
