"""What can be wrong with reading or writing format "sealed". Pure; no sentence ever shows a value of the data."""

from __future__ import annotations

from strongroom.errors import BadInput, Refused, StrongroomError


class BadSourceOption(BadInput):
    """An option of format sealed is missing, unknown or has no such value."""

    code = "SR-DATA-OPTION"
    fix = "See docs/analytics-data.md for the options of format sealed; keys are named (key, keys), never given."


class NoDataSet(BadInput):
    """There is no sealed data set at a path: its manifest is missing."""

    code = "SR-DATA-NOT-SEALED"
    fix = "Check the path; seal data with strongroom data seal, or write it with format sealed."


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


class DataSetBusy(Refused):
    """Another job wrote to a data set while this one did."""

    code = "SR-DATA-BUSY"
    fix = "Run the job again: nothing of it was written, and what the other wrote is there."


class FolderInUse(Refused):
    """A data set is to be written into a folder that holds other files."""

    code = "SR-DATA-FOLDER-IN-USE"
    fix = "Write to a new folder, or move the files away: readers refuse files that no manifest lists."


class ColumnDenied(Refused):
    """A column's key was not released to this job."""

    code = "SR-DATA-COLUMN"
    fix = "Leave the column out (columns), ask its owner for the key, or read nulls in its place (on_denied=null)."


def in_file(problem: StrongroomError, data_set: str, path: str) -> StrongroomError:
    """Return the same error, saying in which file of which data set."""
    named = type(problem)(f"data set {data_set}: {path}: {problem.sentence}")
    named.fix = problem.fix
    return named
