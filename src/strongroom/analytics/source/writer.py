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
from strongroom.analytics.sealing.folder import Folder
from strongroom.analytics.source.encode import SUFFIXES
from strongroom.analytics.source.evolve import appended_schema
from strongroom.analytics.source.faults import BadSourceOption, DataSetBusy, FolderInUse
from strongroom.analytics.source.options import Options
from strongroom.analytics.source.part_files import PartFiles, temporary
from strongroom.analytics.source.places import folder_of
from strongroom.analytics.source.plan import keys_of, read_manifest
from strongroom.analytics.source.schema import to_ddl
from strongroom.datasets.manifest import FILE_NAME, FileEntry, Kind, Manifest, Pins
from strongroom.datasets.names import KeyId
from strongroom.secret import Secret

_OURS: Final = re.compile(r"part-\d{5}-[0-9a-f]{16}-[0-9a-f]{8}-\d{3,}\.(?:csv|json|txt|parquet)", re.ASCII)
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
        folder, keys = folder_of(options.path), keys_of(options)
        try:
            before = _authentic(folder, keys)
            _check_folder(folder, before, append=not overwrite)
            if before is not None:
                before.check_generation(options.min_generation)
            appending = None if overwrite else before
            self.target: Final = (
                _appended(appending, options, keys, to_ddl(schema))
                if appending
                else _fresh(before, options, keys, to_ddl(schema))
            )
            self.before: Final = before.mac if before else b""
        finally:
            keys.close()

    def write(self, iterator: Iterator[pa.RecordBatch]) -> PartsWritten:
        """Seal the rows of one task. Raises RowsNotWritten, KeyNotGranted."""
        keys = keys_of(self.options)
        try:
            data_key = keys.unwrap(self.target.key_id, self.target.wrapped)
        finally:
            keys.close()
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

        Raises DataSetBusy where another job committed meanwhile; then nothing is left of this one.
        """
        entries = [entry for each in messages if isinstance(each, PartsWritten) for entry in each.entries]
        folder, keys = folder_of(self.options.path), keys_of(self.options)
        try:
            data_key = keys.unwrap(self.target.key_id, self.target.wrapped)
            with folder.exclusive():
                before = _authentic(folder, keys)
                if (before.mac if before else b"") != self.before:
                    raise DataSetBusy(f"another job wrote to data set {self.target.name}")
                self._commit(folder, before, entries, data_key)
        finally:
            keys.close()
            folder.remove(temporary(self.job))

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:  # noqa: ARG002 - Spark's signature
        """Remove what the tasks wrote."""
        folder_of(self.options.path).remove(temporary(self.job))

    def _commit(self, folder: Folder, before: Manifest | None, entries: Sequence[FileEntry], data_key: Secret) -> None:
        listed = {entry.path for entry in before.files} if before else set[str]()
        for path in folder.sizes().keys() - listed:
            if _OURS.fullmatch(path):
                folder.remove(path)  # of a job that was killed while it committed
        _check_folder(folder, before, append=not self.overwrite)
        kept = before.files if before is not None and not self.overwrite else ()
        manifest = Manifest(
            name=self.target.name, kind=self.target.kind, generation=before.generation + 1 if before else 1,
            key_id=self.target.key_id, wrapped_data_key=self.target.wrapped, files=tuple(sorted((*kept, *entries))),
            created=datetime.now(UTC), previous=self.before,
        )  # fmt: skip
        manifest = manifest.with_schema(self.target.schema, data_key).authenticated(data_key)
        for entry in entries:
            folder.rename(f"{temporary(self.job)}/{entry.path}", entry.path)
        folder.replace(FILE_NAME, manifest.to_bytes())
        for path in listed - {entry.path for entry in manifest.files}:
            folder.remove(path)


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


def _authentic(folder: Folder, keys: KeyService) -> Manifest | None:
    """Return the manifest that is there, checked; None where there is none."""
    manifest = read_manifest(folder)
    if manifest is not None:
        manifest.check(keys.unwrap(manifest.key_id, manifest.wrapped_data_key))
    return manifest


def _check_folder(folder: Folder, before: Manifest | None, *, append: bool) -> None:
    """Refuse to write beside files that no reader would accept; those of a killed commit do not count."""
    listed = {entry.path: entry.size for entry in before.files} if before else dict[str, int]()
    sizes = {path: size for path, size in folder.sizes().items() if path in listed or not _OURS.fullmatch(path)}
    if before is not None:
        before.check_listing(sizes if append else listed | {path: sizes[path] for path in sizes.keys() - listed})
    elif sizes:
        raise FolderInUse(f"{folder} holds files, such as {min(sizes)[:200]!a}, but no data set")


def _name_of(path: str) -> str:
    last = _NOT_NAME.sub("-", path.partition("?")[0].rstrip("/").rpartition("/")[2]).strip("-._")
    return last[:100] or "data"
