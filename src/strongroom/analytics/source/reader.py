"""Read a sealed data set: the driver checks its manifest and cuts it into partitions, workers open the files.

A file's blocks are verified as they are read, under the pin that the manifest has of it: no byte that its owner did
not write becomes a row, and a bad block ends the job. A key is asked for in the process that uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from pyspark.sql.datasource import DataSourceReader, Filter, InputPartition
from pyspark.sql.types import StructType

from strongroom.analytics.sealing.read import OpenDataset
from strongroom.analytics.source.columns import arrow_schema
from strongroom.analytics.source.ddl import columns_of
from strongroom.analytics.source.faults import BadSourceOption
from strongroom.analytics.source.filters import Pushed, pushed
from strongroom.analytics.source.numbers import as_numbers, decimals_of, in_files, numbered
from strongroom.analytics.source.options import Decimals, Options, Partitioning
from strongroom.analytics.source.plan import keys_of, planned, tell_read
from strongroom.analytics.source.rows import Files, Wanted
from strongroom.analytics.source.schema import chosen_schema, full_schema, kind_of
from strongroom.datasets.manifest import FileEntry, Kind, Pins
from strongroom.datasets.names import KeyId

MAX_PARTITIONS: Final = 4096


@dataclass(frozen=True)
class Piece:
    """A file, or some row groups of one."""

    entry: FileEntry
    groups: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Described:
    """What every task knows of a data set: names, and the wrapped form of the key its files open under."""

    name: str
    kind: Kind
    pins: Pins
    key_id: KeyId
    wrapped: str
    columns: tuple[str, ...]  # all of them, for files that do not name theirs


class SealedPartition(InputPartition):
    """What one task reads."""

    def __init__(self, described: Described, pieces: tuple[Piece, ...]) -> None:
        super().__init__(None)
        self.described: Final = described
        self.pieces: Final = pieces


class SealedRowReader(DataSourceReader):
    """Reads a sealed data set. It travels to the workers and holds no key."""

    def __init__(self, options: Options, schema: StructType) -> None:
        if options.columns and list(options.columns) != schema.names:
            raise BadSourceOption("give columns, or a schema of these columns, not both")
        self.options: Final = options
        self.decimals: Final = decimals_of(schema) if options.decimals is Decimals.NUMBERS else {}
        self.schema: Final = in_files(schema, self.decimals)
        self.filters: tuple[Pushed, ...] = ()

    def partitions(self) -> list[InputPartition]:
        """Check the data set as a whole, and share its files. Raises as `plan.planned`."""
        with planned(self.options) as found:
            tell_read(found)
            described = self._described(found)
            pieces = [piece for entry in found.files for piece in self._pieces(found, described, entry)]
        size = max(1, -(-len(pieces) // MAX_PARTITIONS))
        return [SealedPartition(described, tuple(pieces[at : at + size])) for at in range(0, len(pieces), size)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition. Raises Tampered for changed files, BadRows, KeyNotGranted, ColumnDenied."""
        if not isinstance(partition, SealedPartition):  # what Spark makes of no partitions
            return
        described = partition.described
        wanted = Wanted(described.kind, arrow_schema(self.schema), described.columns, self.filters, self.options)
        with keys_of(self.options) as keys:
            data_key = keys.unwrap(described.key_id, described.wrapped)
            files = Files(self.options, described.name, data_key, described.pins, keys)
            for piece in partition.pieces:
                for batch in files.rows(piece.entry, wanted, piece.groups):
                    yield numbered(batch, self.decimals)

    def _described(self, found: OpenDataset) -> Described:
        manifest, kind = found.manifest, kind_of(found.manifest, self.options)
        columns = tuple(self.schema.names)
        if self.options.columns and kind is Kind.CSV and not self.options.header:
            columns = tuple(columns_of(full_schema(found, self.options)))
        return Described(manifest.name, kind, manifest.pins, manifest.key_id, manifest.wrapped_data_key, columns)

    def _pieces(self, found: OpenDataset, described: Described, entry: FileEntry) -> Iterator[Piece]:
        if self.options.partitioning is Partitioning.FILES or described.kind is not Kind.PARQUET:
            yield Piece(entry)
            return
        with keys_of(self.options) as keys:
            files = Files(self.options, described.name, found.data_key, described.pins, keys)
            for group in files.row_groups(entry, self.filters):
                yield Piece(entry, (group,))


class FilteringReader(SealedRowReader):
    """Reads only the rows that a query's filters leave, where option `pushdown` asks for it.

    Spark 4.1 to 4.3 keeps a reader that took filters with the DataFrame, and gives it to the DataFrame's other queries
    and to the other uses of it in the same query too, which then miss rows. So nobody gets this reader unasked.
    """

    def pushFilters(self, filters: list[Filter]) -> Iterator[Filter]:  # noqa: N802 - Spark's name
        """Take over what Arrow evaluates exactly as Spark; return the others."""
        numbers = self.decimals  # Spark compares them as such
        compared = StructType([field for field in self.schema.fields if field.name not in numbers])
        taken, left = pushed(filters, compared)
        self.filters = tuple(taken)
        yield from left


def data_schema(options: Options) -> str:
    """Return the columns that will be read, as DDL. Raises as `plan.planned`, BadSourceOption, BadRows."""
    with planned(options) as found:
        columns = chosen_schema(full_schema(found, options), options)
    return as_numbers(columns) if options.decimals is Decimals.NUMBERS else columns
