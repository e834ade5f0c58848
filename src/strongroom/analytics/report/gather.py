"""A job's report from the files it left: events of every process, roll calls, and Spark's own event logs.

World: one folder, looked at two levels deep; links are not followed. What a file is, its content says. A folder below
with a report of its own is another job's.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from strongroom.analytics.report import spark_log
from strongroom.analytics.report.facts import Facts
from strongroom.analytics.report.reading import BadReportInput, Lines
from strongroom.analytics.report.spark_log import Application, Executor
from strongroom.analytics.session import events

MAX_FILES: Final = 10_000
MAX_LEVELS: Final = 2
LINES_SUFFIX: Final = ".jsonl"
JSON: Final = "report.json"
_LOOK_BYTES: Final = 4096
_COMPRESSED: Final = {".zstd": "zstd", ".lz4": "lz4"}  # Spark's names; the others of its codecs have no stream format
_SPARK: Final = re.compile(rb'\{"Event": ?"' + spark_log.FIRST_EVENT.encode())


@dataclass(slots=True)
class JobReport:
    """Everything that a report tells. `unreadable`: lines that were no events; `sources`: files that were read."""

    facts: Facts = field(default_factory=Facts)
    applications: list[Application] = field(default_factory=list)
    unreadable: int = 0
    sources: int = 0
    without_lineage: str = ""  # why a job that wrote data has no lineage

    @property
    def name(self) -> str:
        """What to call the job."""
        names = [self.facts.job.application, *(each.name for each in self.applications), self.facts.job.program]
        return next((each for each in names if each), "a job")

    @property
    def unnamed(self) -> list[tuple[Application, Executor]]:
        """The executors of which nothing says that they proved what they are."""
        return [(each, executor) for each in self.applications for executor in self.facts.unnamed(each)]


def gather(folder: Path) -> JobReport:
    """Read what is in a folder. Raises BadReportInput where nothing in it is of a job."""
    report = JobReport()
    files = _files(folder, of_one_job=True)
    for path in _spark_logs(files):
        application = Application()
        with opened(path) as source:
            lines = Lines(source, max_bytes=spark_log.MAX_LINE_BYTES)
            application.add(lines)
        report.applications.append(application)
        report.facts.registered(application)
        report.unreadable += lines.unreadable
        report.sources += 1
    for path in files:
        if path.suffix == LINES_SUFFIX:
            with path.open("rb") as source:
                lines = Lines(source, max_bytes=events.MAX_LINE_BYTES)
                report.facts.add(lines)
            report.unreadable += lines.unreadable
            report.sources += 1
    if not report.sources:
        raise BadReportInput(f"{folder} holds neither events of a job nor an event log of Spark's")
    return report


def spark_logs(folder: Path) -> list[Path]:
    """Return the event logs of Spark's in a folder, by path: of any job. Raises BadReportInput for too many files."""
    return _spark_logs(_files(folder))


def _spark_logs(files: Iterable[Path]) -> list[Path]:
    return [path for path in files if path.suffix != LINES_SUFFIX and _is_spark_log(path)]


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open an event log, compressed or not. Raises BadReportInput where it cannot be expanded."""
    kind = _COMPRESSED.get(path.suffix)
    if kind is None:
        with path.open("rb") as source:
            yield source
        return
    with path.open("rb") as source, _expanded(source, kind) as expanded:
        try:
            yield expanded
        except OSError as problem:
            raise BadReportInput(f"{path.name} cannot be expanded: {problem}") from None


def _expanded(source: BinaryIO, kind: str) -> io.BufferedReader:
    import pyarrow as pa

    return io.BufferedReader(pa.CompressedInputStream(source, kind))


def _is_spark_log(path: Path) -> bool:
    if path.suffix in _COMPRESSED:
        return True
    try:
        with path.open("rb") as file:
            return _SPARK.match(file.read(_LOOK_BYTES)) is not None
    except OSError:
        return False  # a pipe, or another user's: none of the job's


def _files(folder: Path, *, of_one_job: bool = False) -> list[Path]:
    found: list[Path] = []
    level = [folder]
    for _ in range(MAX_LEVELS + 1):
        inner: list[Path] = []
        for each in level:
            try:
                entries = sorted(os.scandir(each), key=lambda entry: entry.name)
            except OSError as problem:
                raise BadReportInput(f"{each}: {problem.strerror}") from None
            if of_one_job and each != folder and any(entry.name == JSON for entry in entries):
                continue
            inner += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
            found += [Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False)]
            if len(found) + len(inner) > MAX_FILES:
                raise BadReportInput(f"{folder} has more than {MAX_FILES} files")
        level = inner
    return found
