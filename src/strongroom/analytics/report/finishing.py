"""What is written when a job is over: its report as text, page and JSON, and the lineage of what it wrote.

World: the folder that keeps the job's events and logs, and will keep these.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.report import lineage, page, spark_log, stage_words, words
from strongroom.analytics.report.gather import JSON, JobReport, gather, opened, spark_logs
from strongroom.analytics.report.reading import BadReportInput, Bounded
from strongroom.datasets.manifest import FILE_NAME
from strongroom.errors import BadInput, StrongroomError
from strongroom.pki import disk
from strongroom.sparkjobs import event_log

TEXT: Final = "report.txt"
PAGE: Final = "report.html"
LINEAGE: Final = "lineage.json"
MAX_REPORT_BYTES: Final = 64 << 20
_OURS: Final = frozenset({TEXT, PAGE, JSON, LINEAGE})
_APPLICATION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}", re.ASCII)


class NoPlaceForReport(BadInput):
    """A job's report cannot be kept where it was asked for."""

    code = "SR-REPORT-PLACE"
    fix = "Name another folder with --report: a new one, or one that holds an earlier report."


def make_place(folder: Path) -> None:
    """Make the folder of a report (0700) before its job runs. Raises NoPlaceForReport where it cannot be kept there.

    A data set would count as changed; and what an earlier report did not write is somebody's.
    """
    try:
        folder.mkdir(mode=disk.SECRET_FOLDER_MODE, parents=True, exist_ok=True)
        there = {each.name for each in folder.iterdir()}
    except OSError as problem:
        raise NoPlaceForReport(f"no report can be kept in {folder}: {problem.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise NoPlaceForReport(f"no report can be kept in {folder}: it is not yours to write to")
    if FILE_NAME in there:
        raise NoPlaceForReport(f"{folder} is a data set, which would be a changed one with a report in it")
    taken = sorted(there & _OURS)
    if taken and _reported_applications(folder) is None:
        raise NoPlaceForReport(f"{folder} holds {', '.join(taken)}, and no report of an earlier job")


def _reported_applications(folder: Path) -> list[Any] | None:
    """Return the applications of the report in a folder; None where there is no report of ours."""
    try:
        return list(json.loads(disk.read_bounded(folder / JSON, limit=MAX_REPORT_BYTES))["applications"])
    except (FileNotFoundError, ValueError, LookupError, TypeError, StrongroomError):
        return None


def clear(folder: Path, logs: Path) -> None:
    """Take away what an earlier job's report in a folder was made of: a report is of one job. `logs`: its event logs.

    Those that the report names alone: other files there are somebody's. Raises OSError.
    """
    told = _reported_applications(folder)
    if told is None:
        return
    for name in (each.get("id") for each in told if isinstance(each, dict)):
        if isinstance(name, str) and _APPLICATION.fullmatch(name):
            (logs / name).unlink(missing_ok=True)
    (folder / LINEAGE).unlink(missing_ok=True)


def finish(folder: Path, keys: KeyService | None = None) -> JobReport:
    """Write a job's report beside the events and logs that were kept of it (all 0600), and return it.

    With the job's keys there is a lineage of each data set that it wrote. Raises BadReportInput, OSError.
    """
    report = gather(folder)
    if keys is not None:
        _write_lineage(report, folder, keys)
    # First, for it says whose the others are (`make_place`).
    disk.replace_private(folder / JSON, json.dumps(to_json(report), indent=1).encode() + b"\n")
    disk.replace_private(folder / TEXT, words.text(report).encode())
    disk.replace_private(folder / PAGE, page.html(report).encode())
    return report


def _write_lineage(report: JobReport, folder: Path, keys: KeyService) -> None:
    told = report.facts
    try:
        records = lineage.records_of(told.job, told.read, told.written, keys)
    except StrongroomError as problem:  # the job is over, and what it wrote is whole: the report says what is missing
        report.without_lineage = problem.sentence
        return
    if records:
        disk.replace_private(folder / LINEAGE, lineage.to_bytes(records))


def read_lineage(folder: Path) -> tuple[lineage.Record, ...]:
    """Return the lineage that a job's folder has, unverified. Raises BadReportInput, BadLineage."""
    try:
        return lineage.parse(disk.read_bounded(folder / LINEAGE, limit=lineage.MAX_BYTES))
    except FileNotFoundError:
        raise BadReportInput(
            f"{folder} has no {LINEAGE}", fix="Name a job that wrote sealed data with keys; others have no lineage."
        ) from None


def keep_logs(source: Path, into: Path) -> int:
    """Write the event logs of a folder without what can hold data, one file each; return how many.

    Raises BadReportInput.
    """
    logs = spark_logs(source)
    for log in logs:
        name = log.name.removesuffix(".inprogress").split(".", 1)[0]
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with opened(log) as read, os.fdopen(os.open(into / name, flags, disk.SECRET_MODE), "wb") as file:
            for line in Bounded(read, max_bytes=event_log.MAX_LINE_BYTES):
                file.write(event_log.redacted(line) or b"" if line is not None else b"")
    return len(logs)


def to_json(report: JobReport) -> dict[str, Any]:
    """Return a report as a machine reads it."""
    told = report.facts
    return {
        "name": report.name, "job": asdict(told.job), "admitted": [asdict(each) for each in told.admitted],
        "refused": [asdict(each) for each in told.refused],
        "unnamed": [{"application": each.number, **asdict(executor)} for each, executor in report.unnamed],
        "keys": [asdict(each) for each in told.uses],
        "read": [asdict(each) for each in told.read], "written": [asdict(each) for each in told.written],
        "applications": [_application(each) for each in report.applications], "unreadable": report.unreadable,
    }  # fmt: skip


def _application(found: spark_log.Application) -> dict[str, Any]:
    return {
        "id": found.number, "name": found.name, "spark": found.spark, "seconds": found.seconds, "jobs": found.jobs,
        "jobs_failed": found.jobs_failed, "executors": [asdict(each) for each in found.executors.values()],
        "stages": [
            asdict(each) | {"seconds": each.seconds, "what": stage_words.described(each.name)} for each in found.ran
        ],
    }  # fmt: skip
