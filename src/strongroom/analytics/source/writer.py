"""Write a sealed data set: tasks seal files under names that nobody reads, the driver's commit lists them.

A data key is made once, on the driver; tasks are told its wrapped form and ask for the key themselves. A job that
fails, or is killed, leaves what was there before (sealing/commit.py).
"""

from __future__ import annotations

import hashlib
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
from strongroom.analytics.sealing.commit import CommittedMeanwhile, commit, following, present
from strongroom.analytics.sealing.pending import staging_name
from strongroom.analytics.session import events
from strongroom.analytics.source.encode import SUFFIXES
from strongroom.analytics.source.evolve import appended_schema
from strongroom.analytics.source.faults import BadSourceOption
from strongroom.analytics.source.options import Options
from strongroom.analytics.source.part_files import PartFiles
from strongroom.analytics.source.places import folder_of
from strongroom.analytics.source.plan import keys_of
from strongroom.analytics.source.schema import to_ddl
from strongroom.datasets.manifest import FileEntry, Kind, Manifest, Pins
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
            before = present(folder_of(options.path), keys, min_generation=options.min_generation)
            self.target: Final = (
                _fresh(before, options, keys, to_ddl(schema))
                if before is None or overwrite
                else _appended(before, options, keys, to_ddl(schema))
            )
            self.before: Final = _digest(before)  # all of it would travel with every task
        folder_of(options.path).make(staging_name(self.job))  # tasks that outlive the job do not make it again

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

        Raises CommittedMeanwhile where another job was faster, and as `commit.commit`; then nothing is left of this.
        """
        entries = [entry for each in messages if isinstance(each, PartsWritten) for entry in each.entries]
        folder, staging = folder_of(self.options.path), staging_name(self.job)
        try:
            with keys_of(self.options) as keys:
                before = present(folder, keys)
                if _digest(before) != self.before:
                    raise CommittedMeanwhile(f"{folder} is of another generation by now")
                manifest = self._next(before, entries, keys.unwrap(self.target.key_id, self.target.wrapped))
            commit(folder, before, manifest, {staging: [entry.path for entry in entries]}, staging=staging)
        finally:
            folder.remove(staging)
        events.data_set_written(manifest, str(folder))

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:  # noqa: ARG002 - Spark's signature
        """Remove what the tasks wrote."""
        folder_of(self.options.path).remove(staging_name(self.job))

    def _next(self, before: Manifest | None, entries: Sequence[FileEntry], data_key: Secret) -> Manifest:
        kept = before.files if before is not None and not self.overwrite else ()
        manifest = Manifest(
            name=self.target.name, kind=self.target.kind, generation=1, key_id=self.target.key_id,
            wrapped_data_key=self.target.wrapped, files=tuple(sorted((*kept, *entries))), created=datetime.now(UTC),
        )  # fmt: skip
        return following(manifest, before).with_schema(self.target.schema, data_key).authenticated(data_key)


def _appended(before: Manifest, options: Options, keys: KeyService, schema: str) -> Target:
    if before.pins is not Pins.NODE0 or before.kind not in SUFFIXES:
        raise BadSourceOption(f"data set {before.name} was not written by format sealed, which cannot append to it")
    if options.kind not in (None, before.kind):
        raise BadSourceOption(f"data set {before.name} is {before.kind}, not {options.kind}")
    if options.key not in ("", before.key_id.name):
        raise BadSourceOption(f"data set {before.name} is under key {before.key_id.name}, not {options.key}")
    options.fit(before.kind)
    data_key = keys.unwrap(before.key_id, before.wrapped_data_key)
    together = appended_schema(before.schema(data_key), schema, before.kind)
    return Target(before.name, before.kind, before.key_id, before.wrapped_data_key, together)


def _fresh(before: Manifest | None, options: Options, keys: KeyService, schema: str) -> Target:
    if not options.key:
        raise BadSourceOption("say under which primary key the data is sealed (key)")
    kind = options.kind or Kind.PARQUET
    if kind not in SUFFIXES:
        raise BadSourceOption("rows are written as csv, json, text or parquet")
    options.fit(kind)
    key = keys.new_data_key(options.key)
    name = options.name or (before.name if before else _name_of(options.path))
    return Target(name, kind, key.key_id, key.wrapped, schema)


def _digest(manifest: Manifest | None) -> bytes:
    return b"" if manifest is None else hashlib.sha256(manifest.to_bytes()).digest()


def _name_of(path: str) -> str:
    last = _NOT_NAME.sub("-", path.partition("?")[0].rstrip("/").rpartition("/")[2]).strip("-._")
    return last[:100] or "data"
