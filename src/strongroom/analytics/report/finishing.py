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
from strongroom.analytics.report.gather import JobReport, gather, opened, spark_logs
from strongroom.analytics.report.reading import BadReportInput, Bounded
from strongroom.errors import StrongroomError
from strongroom.pki import disk
from strongroom.sparkjobs import event_log

TEXT: Final = "report.txt"
PAGE: Final = "report.html"
JSON: Final = "report.json"
LINEAGE: Final = "lineage.json"
MAX_REPORT_BYTES: Final = 64 << 20
_APPLICATION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}", re.ASCII)


def clear(folder: Path, logs: Path) -> None:
    """Take away what an earlier job's report in a folder was made of: a report is of one job. `logs`: its event logs.

    Those that the report names alone: other files there are somebody's. Raises OSError.
    """
    try:
        told = json.loads(disk.read_bounded(folder / JSON, limit=MAX_REPORT_BYTES))
        names = [each["id"] for each in told["applications"]]
    except (FileNotFoundError, ValueError, LookupError, TypeError, StrongroomError):  # no report of ours
        return
    for name in names:
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
    disk.replace_private(folder / TEXT, words.text(report).encode())
    disk.replace_private(folder / PAGE, page.html(report).encode())
    disk.replace_private(folder / JSON, json.dumps(to_json(report), indent=1).encode() + b"\n")
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
