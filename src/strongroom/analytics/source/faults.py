"""What can be wrong with reading or writing format "sealed". Pure; no sentence ever shows a value of the data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.errors import BadInput, Refused, StrongroomError


class BadSourceOption(BadInput):
    """An option of format sealed is missing, unknown or has no such value."""

    code = "SR-DATA-OPTION"
    fix = "See docs/analytics-data.md for the options of format sealed; keys are named (key, keys), never given."


class BadDataPlace(BadInput):
    """A path is on no file system that can be reached, or its address holds a password."""

    code = "SR-DATA-PLACE"
    fix = "Use a path, file:, hdfs:// or s3:// without user and password; credentials come from the environment."


class BadRows(BadInput):
    """A sealed file is authentic, but its content does not fit its kind or the schema."""

    code = "SR-DATA-ROWS"
    fix = "Read it with the schema and the options (header, delimiter, kind) that it was written with."


class RowsNotWritten(BadInput):
    """Rows cannot be written in the kind of file that was asked for."""

    code = "SR-DATA-WRITE"
    fix = "Write kind parquet, which holds every type, or convert the named column first."


class ColumnDenied(Refused):
    """A column's key was not released to this job."""

    code = "SR-DATA-COLUMN"
    fix = "Leave the column out (columns), ask its owner for the key, or read nulls in its place (on_denied=null)."


def in_file(problem: StrongroomError, data_set: str, path: str = "") -> StrongroomError:
    """Return the same error, saying in which data set, and in which file of it."""
    return type(problem)(": ".join(filter(None, (f"data set {data_set}", path, problem.sentence))), fix=problem.fix)


@contextmanager
def with_remedy() -> Iterator[None]:
    """Give an error what to do as a note: Spark passes on the traceback alone, which then ends with it."""
    try:
        yield
    except StrongroomError as problem:
        note = f"what to do: {problem.fix} [{problem.code}]"
        if note not in getattr(problem, "__notes__", ()):
            problem.add_note(note)
        raise
