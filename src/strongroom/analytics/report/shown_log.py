"""Spark's event log without what it says of the data: plans with their constants, texts of errors, settings. Pure.

Spark hides settings by name and nothing else: plans carry the constants of a query, a failed task the whole text of
its exception, accumulators what a program counts. Kept are events and fields that Spark's history server shows times,
sizes and stages from; everything that is not named here is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from strongroom.analytics.report.reading import Line, inner, plain, rows, text
from strongroom.sparkjobs.redaction import REDACTION

HIDDEN: Final = "(hidden)"
_WHOLE: Final = frozenset({
    "SparkListenerLogStart", "SparkListenerResourceProfileAdded", "SparkListenerApplicationStart",
    "SparkListenerApplicationEnd", "SparkListenerBlockManagerAdded", "SparkListenerBlockManagerRemoved",
    "SparkListenerUnpersistRDD",
})  # fmt: skip  # Spark's own numbers and names
_SETTING: Final = re.compile(r"spark\.[A-Za-z0-9._-]{1,200}", re.ASCII)
_REDACTED: Final = re.compile(REDACTION)
# What users and clusters put their own words into.
_FREE: Final = re.compile(r"(?i)options|command|\.env|description|\.hadoop\.|job\.|callsite|url|query|\.sql\.execution")


def shown(lines: Iterable[Line]) -> Iterator[bytes]:
    """Return the lines of the log that may be shown, in order."""
    for line in lines:
        kept = _kept(line)
        if kept is not None:
            yield json.dumps(kept, separators=(",", ":")).encode() + b"\n"


def _kept(line: Line) -> Line | None:
    kind = text(line, "Event")
    if kind in _WHOLE:
        return line
    change = _CHANGED.get(kind)
    return None if change is None else change(line)


def _environment(line: Line) -> Line:
    settings = {
        name: value if not (_REDACTED.search(name) or _FREE.search(name)) else HIDDEN
        for name, value in inner(line, "Spark Properties").items()
        if _SETTING.fullmatch(name) and isinstance(value, str)
    }
    told = {name: plain(value) for name, value in inner(line, "JVM Information").items() if isinstance(value, str)}
    empty: Line = {f"{name} Properties": {} for name in ("Hadoop", "System", "Metrics")} | {"Classpath Entries": {}}
    return {"Event": line["Event"], "JVM Information": told, "Spark Properties": settings, **empty}


def _executor(line: Line) -> Line:
    told = {**inner(line, "Executor Info"), "Log Urls": {}, "Attributes": {}}
    return {**_only(line, "Event", "Timestamp", "Executor ID"), "Executor Info": told}


def _executor_gone(line: Line) -> Line:
    return {**_only(line, "Event", "Timestamp", "Executor ID"), "Removed Reason": HIDDEN}


def _job(line: Line) -> Line:
    stages = [_stage_info(each) for each in rows(line, "Stage Infos")]
    return {**_only(line, "Event", "Job ID", "Submission Time", "Stage IDs"), "Stage Infos": stages, "Properties": {}}


def _job_end(line: Line) -> Line:
    result: Line = {"Result": text(inner(line, "Job Result"), "Result")}
    if result["Result"] != "JobSucceeded":
        result["Exception"] = {"Message": HIDDEN, "Stack Trace": []}
    return {**_only(line, "Event", "Job ID", "Completion Time"), "Job Result": result}


def _stage(line: Line) -> Line:
    kept: Line = {"Event": line["Event"], "Stage Info": _stage_info(inner(line, "Stage Info"))}
    return kept if "Properties" not in line else {**kept, "Properties": {}}


def _stage_info(told: Line) -> Line:
    kept = _only(
        told, "Stage ID", "Stage Attempt ID", "Stage Name", "Number of Tasks", "Parent IDs", "Submission Time",
        "Completion Time", "Resource Profile Id", "Shuffle Push Enabled", "Shuffle Push Mergers Count",
    )  # fmt: skip
    failed = {"Failure Reason": HIDDEN} if "Failure Reason" in told else {}
    return {**kept, "RDD Info": [], "Details": "", "Accumulables": [], **failed}


def _task_start(line: Line) -> Line:
    return {**_only(line, "Event", "Stage ID", "Stage Attempt ID"), "Task Info": _task_info(inner(line, "Task Info"))}


def _task_end(line: Line) -> Line:
    reason = text(inner(line, "Task End Reason"), "Reason")
    ended: Line = {"Reason": "Success"} if reason == "Success" else {"Reason": "TaskKilled", "Kill Reason": HIDDEN,
                                                                     "Accumulator Updates": []}  # fmt: skip
    if reason not in {"Success", "TaskKilled"}:  # a failure stays one, without its text
        ended = {"Reason": "ExceptionFailure", "Class Name": plain(text(inner(line, "Task End Reason"), "Class Name")),
                 "Description": HIDDEN, "Stack Trace": [], "Full Stack Trace": HIDDEN,
                 "Accumulator Updates": []}  # fmt: skip
    metrics = {name: value for name, value in inner(line, "Task Metrics").items() if name != "Updated Blocks"}
    return {
        **_only(line, "Event", "Stage ID", "Stage Attempt ID", "Task Type"), "Task End Reason": ended,
        "Task Info": _task_info(inner(line, "Task Info")), "Task Metrics": metrics,
        "Task Executor Metrics": inner(line, "Task Executor Metrics"),
    }  # fmt: skip


def _task_info(told: Line) -> Line:
    return {**told, "Accumulables": []}


def _only(line: Line, *names: str) -> Line:
    return {name: line[name] for name in names if name in line}


_CHANGED: Final = {
    "SparkListenerEnvironmentUpdate": _environment,
    "SparkListenerExecutorAdded": _executor,
    "SparkListenerExecutorRemoved": _executor_gone,
    "SparkListenerJobStart": _job,
    "SparkListenerJobEnd": _job_end,
    "SparkListenerStageSubmitted": _stage,
    "SparkListenerStageCompleted": _stage,
    "SparkListenerTaskStart": _task_start,
    "SparkListenerTaskEnd": _task_end,
}
