"""What Spark's event log says of a job: executors, stages, times, and what was spilled. Pure.

Source: Spark's JsonProtocol (core/src/main/scala/org/apache/spark/util/JsonProtocol.scala). Only the fields of a
report are read: no plan, no text of an error, no value of the data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from strongroom.analytics.report.reading import Line, inner, number, text
from strongroom.sparkjobs.registration import ATTRIBUTE, Registration

MAX_LINE_BYTES: Final = 16 * 1024 * 1024  # a stage of many tasks has a long line
MAX_STAGES: Final = 10_000
MAX_EXECUTORS: Final = 10_000
FIRST_EVENT: Final = "SparkListenerLogStart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """One executor; times in milliseconds since 1970, 0 unknown. `registration`: what it said of itself."""

    name: str
    host: str
    cores: int
    added_ms: int
    removed_ms: int = 0
    registration: Registration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One attempt at a stage; bytes as Spark counts them, which is before encryption."""

    number: int
    attempt: int
    name: str = ""
    tasks: int = 0
    done: int = 0
    failed: int = 0
    submitted_ms: int = 0
    completed_ms: int = 0
    broken: bool = False
    cpu_ns: int = 0
    read: int = 0
    written: int = 0
    shuffled: int = 0
    spilled: int = 0

    @property
    def seconds(self) -> float:
        """How long it took, 0 where its end is unknown."""
        return max(0, self.completed_ms - self.submitted_ms) / 1000 if self.completed_ms else 0.0


@dataclass(slots=True)
class Application:
    """One application of Spark's."""

    number: str = ""
    name: str = ""
    spark: str = ""
    started_ms: int = 0
    ended_ms: int = 0
    jobs: int = 0
    jobs_failed: int = 0
    left_out: int = 0
    executors: dict[str, Executor] = field(default_factory=dict)
    stages: dict[tuple[int, int], Stage] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it took, 0 where its end is unknown."""
        return max(0, self.ended_ms - self.started_ms) / 1000 if self.ended_ms else 0.0

    @property
    def ran(self) -> list[Stage]:
        """The stages in order."""
        return [self.stages[each] for each in sorted(self.stages)]

    def add(self, lines: Iterable[Line]) -> None:
        """Take events in; those that a report does not tell of are passed over."""
        for line in lines:
            known = _ADD.get(text(line, "Event"))
            if known is not None:
                known(self, line)

    def _log_start(self, line: Line) -> None:
        self.spark = text(line, "Spark Version", 40)

    def _start(self, line: Line) -> None:
        self.number, self.name = text(line, "App ID"), text(line, "App Name")
        self.started_ms = number(line, "Timestamp")

    def _end(self, line: Line) -> None:
        self.ended_ms = number(line, "Timestamp")

    def _job(self, _: Line) -> None:
        self.jobs += 1

    def _job_end(self, line: Line) -> None:
        self.jobs_failed += text(inner(line, "Job Result"), "Result") != "JobSucceeded"

    def _executor(self, line: Line) -> None:
        name, told = text(line, "Executor ID"), inner(line, "Executor Info")
        if name not in self.executors and len(self.executors) >= MAX_EXECUTORS:
            self.left_out += 1
            return
        self.executors[name] = Executor(
            name=name, host=text(told, "Host"), cores=number(told, "Total Cores"), added_ms=number(line, "Timestamp"),
            registration=Registration.parse(inner(told, "Attributes").get(ATTRIBUTE)),
        )  # fmt: skip

    def _executor_gone(self, line: Line) -> None:
        name = text(line, "Executor ID")
        if name in self.executors:
            self.executors[name] = replace(self.executors[name], removed_ms=number(line, "Timestamp"))

    def _stage(self, line: Line) -> None:
        told = inner(line, "Stage Info")
        had = self._of(number(told, "Stage ID"), number(told, "Stage Attempt ID"))
        if had is not None:
            self.stages[had.number, had.attempt] = replace(
                had, name=text(told, "Stage Name"), tasks=number(told, "Number of Tasks"),
                submitted_ms=number(told, "Submission Time"), completed_ms=number(told, "Completion Time"),
                broken="Failure Reason" in told,
            )  # fmt: skip

    def _task(self, line: Line) -> None:
        had = self._of(number(line, "Stage ID"), number(line, "Stage Attempt ID"))
        if had is None:
            return
        good, told = text(inner(line, "Task End Reason"), "Reason") == "Success", inner(line, "Task Metrics")
        self.stages[had.number, had.attempt] = replace(
            had, done=had.done + good, failed=had.failed + (not good),
            cpu_ns=had.cpu_ns + number(told, "Executor CPU Time"),
            read=had.read + number(inner(told, "Input Metrics"), "Bytes Read"),
            written=had.written + number(inner(told, "Output Metrics"), "Bytes Written"),
            shuffled=had.shuffled + number(inner(told, "Shuffle Write Metrics"), "Shuffle Bytes Written"),
            spilled=had.spilled + number(told, "Disk Bytes Spilled"),
        )  # fmt: skip

    def _of(self, stage: int, attempt: int) -> Stage | None:
        found = self.stages.get((stage, attempt))
        if found is None:
            if len(self.stages) >= MAX_STAGES:
                self.left_out += 1
                return None
            found = self.stages[stage, attempt] = Stage(number=stage, attempt=attempt)
        return found


_ADD: Final = {
    FIRST_EVENT: Application._log_start,  # noqa: SLF001  # the class's own table
    "SparkListenerApplicationStart": Application._start,  # noqa: SLF001
    "SparkListenerApplicationEnd": Application._end,  # noqa: SLF001
    "SparkListenerJobStart": Application._job,  # noqa: SLF001
    "SparkListenerJobEnd": Application._job_end,  # noqa: SLF001
    "SparkListenerExecutorAdded": Application._executor,  # noqa: SLF001
    "SparkListenerExecutorRemoved": Application._executor_gone,  # noqa: SLF001
    "SparkListenerStageSubmitted": Application._stage,  # noqa: SLF001
    "SparkListenerStageCompleted": Application._stage,  # noqa: SLF001
    "SparkListenerTaskEnd": Application._task,  # noqa: SLF001
}
