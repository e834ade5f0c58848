"""What stays of a job when it is over: its report as text, page and JSON, its lineage, Spark's log as it may be shown.

World: the job's own folder, which is in memory and goes, and a folder of the user's that keeps what is written here.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.report import lineage, page, spark_log, words
from strongroom.analytics.report.gather import JobReport, gather, opened, spark_logs
from strongroom.analytics.report.reading import Lines
from strongroom.analytics.report.shown_log import shown
from strongroom.pki import disk

TEXT: Final = "report.txt"
PAGE: Final = "report.html"
JSON: Final = "report.json"
LINEAGE: Final = "lineage.json"
EVENTS: Final = "events.jsonl"
LOGS: Final = "spark"
_DAILY: Final = 0o700


def keep(source: Path, into: Path, keys: KeyService | None = None) -> JobReport:
    """Write what stays of a job into a folder (0700, files 0600), and return its report.

    `source`: the folder with events (*.jsonl) and Spark's logs. With the job's keys there is a lineage of each data
    set that it wrote. Raises BadReportInput, OSError, and for the lineage KeyNotGranted kin.
    """
    report = gather(source)
    into.mkdir(mode=_DAILY, parents=True, exist_ok=True)
    keep_logs(source, into / LOGS)
    records = () if keys is None else lineage.records_of(
        report.facts.job, report.facts.read, report.facts.written, keys
    )  # fmt: skip
    if records:
        disk.replace_private(into / LINEAGE, lineage.to_bytes(records))
    disk.replace_private(into / EVENTS, _events(source))
    disk.replace_private(into / TEXT, words.text(report).encode())
    disk.replace_private(into / PAGE, page.html(report).encode())
    disk.replace_private(into / JSON, json.dumps(to_json(report), indent=1).encode() + b"\n")
    return report


def keep_logs(source: Path, into: Path) -> int:
    """Write Spark's event logs as they may be shown, one file each; return how many. Raises BadReportInput."""
    logs = spark_logs(source)
    if logs:
        into.mkdir(mode=_DAILY, exist_ok=True)
    for log in logs:
        name = log.name.removesuffix(".inprogress").split(".", 1)[0]
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with opened(log) as read, os.fdopen(os.open(into / name, flags, disk.SECRET_MODE), "wb") as file:
            file.writelines(shown(Lines(read, max_bytes=spark_log.MAX_LINE_BYTES)))
    return len(logs)


def to_json(report: JobReport) -> dict[str, Any]:
    """Return a report as a machine reads it."""
    told = report.facts
    return {
        "name": report.name, "job": asdict(told.job), "admitted": [asdict(each) for each in told.admitted],
        "refused": [asdict(each) for each in told.refused], "keys": [asdict(each) for each in told.uses],
        "read": [asdict(each) for each in told.read], "written": [asdict(each) for each in told.written],
        "applications": [_application(each) for each in report.applications], "unreadable": report.unreadable,
    }  # fmt: skip


def _application(found: spark_log.Application) -> dict[str, Any]:
    return {
        "id": found.number, "name": found.name, "spark": found.spark, "seconds": found.seconds, "jobs": found.jobs,
        "jobs_failed": found.jobs_failed, "executors": [asdict(each) for each in found.executors.values()],
        "stages": [asdict(each) | {"seconds": each.seconds} for each in found.ran],
    }  # fmt: skip


def _events(source: Path) -> bytes:
    """Return the lines of all events: a report can be made of what is kept, again."""
    found = b""
    for path in sorted(source.rglob("*.jsonl")):
        if path.is_file() and not path.is_symlink():
            data = disk.read_bounded(path, limit=MAX_EVENTS_BYTES)
            found += data if data.endswith(b"\n") or not data else data + b"\n"
    return found


MAX_EVENTS_BYTES: Final = 64 * 1024 * 1024
