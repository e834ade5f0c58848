"""Read a sealed data set: the driver checks its manifest and cuts it into partitions, workers open the files.

A file's blocks are verified as they are read, under the pin that the manifest has of it: no byte that its owner did
not write becomes a row, and a bad block ends the job. A key is asked for in the process that uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql.datasource import DataSourceReader, Filter, InputPartition
from pyspark.sql.types import StructType

from strongroom.analytics.source import parquet_file
from strongroom.analytics.source.columns import arrow_schema
from strongroom.analytics.source.ddl import columns_of
from strongroom.analytics.source.faults import in_file
from strongroom.analytics.source.filters import Pushed, pushed
from strongroom.analytics.source.options import Options, Partitioning
from strongroom.analytics.source.places import folder_of
from strongroom.analytics.source.plan import Planned, keys_of, open_file, plan
from strongroom.analytics.source.rows import Wanted, rows
from strongroom.analytics.source.schema import chosen_schema, full_schema, kind_of
from strongroom.datasets.manifest import FileEntry, Kind
from strongroom.datasets.names import KeyId
from strongroom.errors import StrongroomError

MAX_PARTITIONS = 4096


@dataclass(frozen=True)
class Piece:
    """A file, or some row groups of one."""

    entry: FileEntry
    groups: tuple[int, ...] | None = None


class SealedPartition(InputPartition):
    """What one task reads: pieces of a data set, and the name and wrapped form of the key they open under."""

    def __init__(
        self,
        *,
        data_set: str,
        kind: Kind,
        key_id: KeyId,
        wrapped: str,
        names: tuple[str, ...],
        pieces: tuple[Piece, ...],
    ) -> None:
        super().__init__(None)
        self.data_set, self.kind, self.key_id, self.wrapped = data_set, kind, key_id, wrapped
        self.names, self.pieces = names, pieces


class SealedRowReader(DataSourceReader):
    """Reads a sealed data set. It travels to the workers and holds no key."""

    def __init__(self, options: Options, schema: StructType) -> None:
        self.options = options
        self.schema = schema
        self.filters: tuple[Pushed, ...] = ()

    def pushFilters(self, filters: list[Filter]) -> Iterator[Filter]:  # noqa: N802 - Spark's name
        """Take over what Arrow evaluates exactly as Spark; return the others."""
        taken, left = pushed(filters, self.schema)
        self.filters = tuple(taken)
        yield from left

    def partitions(self) -> list[InputPartition]:
        """Check the data set as a whole, and share its files. Raises as `plan`."""
        folder = folder_of(self.options.path)
        keys = keys_of(self.options)
        try:
            planned = plan(folder, keys, min_generation=self.options.min_generation)
        finally:
            keys.close()
        manifest, kind = planned.manifest, kind_of(planned, self.options)
        names = tuple(self.schema.names)
        if self.options.columns and kind is Kind.CSV:
            names = tuple(columns_of(full_schema(folder, planned, self.options)))
        pieces = [piece for entry in manifest.files for piece in self._pieces(planned, kind, entry)]
        size = max(1, -(-len(pieces) // MAX_PARTITIONS))
        return [
            SealedPartition(
                data_set=manifest.name,
                kind=kind,
                key_id=manifest.key_id,
                wrapped=manifest.wrapped_data_key,
                names=names,
                pieces=tuple(pieces[at : at + size]),
            )
            for at in range(0, len(pieces), size)
        ]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition. Raises Tampered for changed files, BadRows, KeyNotGranted."""
        if not isinstance(partition, SealedPartition):  # what Spark makes of no partitions
            return
        folder, keys = folder_of(self.options.path), keys_of(self.options)
        try:
            data_key = keys.unwrap(partition.key_id, partition.wrapped)
        finally:
            keys.close()
        wanted = Wanted(partition.kind, arrow_schema(self.schema), partition.names, self.filters, self.options)
        for piece in partition.pieces:
            try:
                with open_file(folder, piece.entry, data_key) as stream:
                    if stream.size:
                        yield from rows(stream, wanted, piece.groups)
            except StrongroomError as problem:
                raise in_file(problem, partition.data_set, piece.entry.path) from None

    def _pieces(self, planned: Planned, kind: Kind, entry: FileEntry) -> Iterator[Piece]:
        if self.options.partitioning is Partitioning.FILES or kind is not Kind.PARQUET:
            yield Piece(entry)
            return
        try:
            with open_file(folder_of(self.options.path), entry, planned.data_key) as stream:
                file = parquet_file.open_parquet(stream)
                for group in parquet_file.row_groups(file, self.filters, None):
                    yield Piece(entry, (group,))
        except StrongroomError as problem:
            raise in_file(problem, planned.manifest.name, entry.path) from None


def data_schema(options: Options) -> str:
    """Return the columns that will be read, as DDL. Raises as `plan`, and BadSourceOption."""
    folder, keys = folder_of(options.path), keys_of(options)
    try:
        planned = plan(folder, keys, min_generation=options.min_generation)
    finally:
        keys.close()
    return chosen_schema(full_schema(folder, planned, options), options)
