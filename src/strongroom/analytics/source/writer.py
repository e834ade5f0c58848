"""Write a sealed data set: tasks seal files under names that nobody reads, the driver's commit lists them.

A data key is made once, on the driver; tasks are told its wrapped form and ask for the key themselves. Files get their
names while the folder is held, and count from the moment the manifest is replaced. A job that fails, or is killed,
leaves what was there before; what a job leaves that is killed in the midst of its commit, the next one removes.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql.datasource import DataSourceArrowWriter, WriterCommitMessage
from pyspark.sql.types import StructType

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.report import events
from strongroom.analytics.sealing.folder import Folder
from strongroom.analytics.sealing.pending import end_pending, read_pending, write_pending
from strongroom.analytics.sealing.read import NoDataSet, OpenDataset
from strongroom.analytics.sealing.write import CommittedMeanwhile, DataSetThere
from strongroom.analytics.source.encode import SUFFIXES
from strongroom.analytics.source.evolve import appended_schema
from strongroom.analytics.source.faults import BadSourceOption
from strongroom.analytics.source.options import Options
from strongroom.analytics.source.part_files import PartFiles, temporary
from strongroom.analytics.source.places import folder_of
from strongroom.analytics.source.plan import keys_of
from strongroom.analytics.source.schema import to_ddl
from strongroom.datasets.manifest import FILE_NAME, FileEntry, Kind, Manifest, Pins
from strongroom.datasets.names import KeyId
from strongroom.secret import Secret

_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)


@dataclass
class PartsWritten(WriterCommitMessage):
    """What a task wrote."""

    entries: tuple[FileEntry, ...]
    rows: int


@dataclass(frozen=True)
class Target:
    """What is written: all that the tasks and the commit have to know, and no key."""

    name: str
    kind: Kind
    key_id: KeyId
    wrapped: str
    schema: str


class SealedRowWriter(DataSourceArrowWriter):
    """Writes a sealed data set. It travels to the tasks."""

    def __init__(self, options: Options, schema: StructType, overwrite: bool) -> None:
        self.options: Final = options
        self.overwrite: Final = overwrite
        self.job: Final = secrets.token_hex(8)
        with keys_of(options) as keys:
            before = _present(folder_of(options.path), keys, options.min_generation)
            self.target: Final = (
                _fresh(before, options, keys, to_ddl(schema))
                if before is None or overwrite
                else _appended(before, options, keys, to_ddl(schema))
            )
            self.before: Final = before.mac if before else b""

    def write(self, iterator: Iterator[pa.RecordBatch]) -> PartsWritten:
        """Seal the rows of one task. Raises RowsNotWritten, KeyNotGranted."""
        with keys_of(self.options) as keys:
            data_key = keys.unwrap(self.target.key_id, self.target.wrapped)
        context = TaskContext.get()
        files = PartFiles(
            folder_of(self.options.path), data_key, self.options, kind=self.target.kind, job=self.job,
            partition=context.partitionId() if context else 0,
        )  # fmt: skip
        try:
            for batch in iterator:
                if batch.num_rows:
                    files.write(batch)
            files.finish()
        except BaseException:
            files.discard()
            raise
        return PartsWritten(tuple(files.entries), files.rows)

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        """Give the files their names, and list them in the manifest's next generation.

        Raises CommittedMeanwhile where another job was faster; then nothing is left of this one.
        """
        entries = [entry for each in messages if isinstance(each, PartsWritten) for entry in each.entries]
        folder = folder_of(self.options.path)
        try:
            with keys_of(self.options) as keys, folder.exclusive():
                before = _present(folder, keys, 0)
                if (before.mac if before else b"") != self.before:
                    raise CommittedMeanwhile(f"{folder} is of another generation by now")
                manifest = self._next(before, entries, keys.unwrap(self.target.key_id, self.target.wrapped))
                take_place(folder, before, manifest, temporary(self.job))
        finally:
            folder.remove(temporary(self.job))
        events.data_set_written(manifest, str(folder))

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:  # noqa: ARG002 - Spark's signature
        """Remove what the tasks wrote."""
        folder_of(self.options.path).remove(temporary(self.job))

    def _next(self, before: Manifest | None, entries: Sequence[FileEntry], data_key: Secret) -> Manifest:
        kept = before.files if before is not None and not self.overwrite else ()
        manifest = Manifest(
            name=self.target.name, kind=self.target.kind, generation=before.generation + 1 if before else 1,
            key_id=self.target.key_id, wrapped_data_key=self.target.wrapped, files=tuple(sorted((*kept, *entries))),
            created=datetime.now(UTC), previous=self.before,
        )  # fmt: skip
        return manifest.with_schema(self.target.schema, data_key).authenticated(data_key)


def take_place(folder: Folder, before: Manifest | None, after: Manifest, staging: str) -> None:
    """Make new files and their manifest count, in the order of steps that readers and later commits can live with.

    A note names the files that come and go, so that a commit that is cut off hides nothing and spoils nothing.
    """
    old = {entry.path for entry in before.files} if before else set[str]()
    new = {entry.path for entry in after.files}
    for leftover in read_pending(folder) - old - new:  # of a commit that was cut off
        folder.remove(leftover)
    write_pending(folder, old ^ new)
    for path in sorted(new - old):
        folder.rename(f"{staging}/{path}", path)
    folder.replace(FILE_NAME, after.to_bytes())
    for path in sorted(old - new):
        folder.remove(path)
    end_pending(folder)


def _appended(before: Manifest, options: Options, keys: KeyService, schema: str) -> Target:
    if before.pins is not Pins.NODE0 or before.kind not in SUFFIXES:
        raise BadSourceOption(f"data set {before.name} was not written by format sealed, which cannot append to it")
    if options.kind not in (None, before.kind):
        raise BadSourceOption(f"data set {before.name} is {before.kind}, not {options.kind}")
    if options.key not in ("", before.key_id.name):
        raise BadSourceOption(f"data set {before.name} is under key {before.key_id.name}, not {options.key}")
    data_key = keys.unwrap(before.key_id, before.wrapped_data_key)
    together = appended_schema(before.schema(data_key), schema, before.kind)
    return Target(before.name, before.kind, before.key_id, before.wrapped_data_key, together)


def _fresh(before: Manifest | None, options: Options, keys: KeyService, schema: str) -> Target:
    if not options.key:
        raise BadSourceOption("say under which primary key the data is sealed (key)")
    kind = options.kind or Kind.PARQUET
    if kind not in SUFFIXES:
        raise BadSourceOption("rows are written as csv, json, text or parquet")
    key = keys.new_data_key(options.key)
    name = options.name or (before.name if before else _name_of(options.path))
    return Target(name, kind, key.key_id, key.wrapped, schema)


def _present(folder: Folder, keys: KeyService, min_generation: int) -> Manifest | None:
    """Return the data set that is there once it was checked; None for an empty folder. Raises DataSetThere."""
    try:
        with OpenDataset(folder, keys, min_generation=min_generation) as found:
            return found.manifest
    except NoDataSet:
        if folder.sizes().keys() - read_pending(folder):
            raise DataSetThere(f"{folder} holds files that are no data set") from None
        return None


def _name_of(path: str) -> str:
    last = _NOT_NAME.sub("-", path.partition("?")[0].rstrip("/").rpartition("/")[2]).strip("-._")
    return last[:100] or "data"
