"""The files of a data set as batches of the schema that Spark was told, verified block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import RawIOBase
from typing import Final

import pyarrow as pa

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.sealing.read import open_entry
from strongroom.analytics.source.columns import arrange
from strongroom.analytics.source.decode import read_text
from strongroom.analytics.source.decode_csv import read_csv
from strongroom.analytics.source.decode_json import read_json
from strongroom.analytics.source.faults import BadSourceOption, in_file
from strongroom.analytics.source.filters import Pushed, matching
from strongroom.analytics.source.options import OnDenied, Options
from strongroom.analytics.source.parquet_file import ParquetRows
from strongroom.analytics.source.partitions import values_of, with_values
from strongroom.analytics.source.places import folder_of
from strongroom.datasets.manifest import FileEntry, Kind, Pins
from strongroom.errors import StrongroomError
from strongroom.secret import Secret


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is read from every file. `names`: all columns of the data set, for files that do not name them."""

    kind: Kind
    target: pa.Schema
    names: tuple[str, ...]
    filters: tuple[Pushed, ...]
    options: Options


class Files:
    """Opens the files of one data set."""

    def __init__(self, options: Options, data_set: str, data_key: Secret, pins: Pins, keys: KeyService) -> None:
        self._folder: Final = folder_of(options.path)
        self._null_if_denied: Final = options.on_denied is OnDenied.NULL
        self._data_set: Final = data_set
        self._data_key: Final = data_key
        self._pins: Final = pins
        self._keys: Final = keys

    def rows(self, entry: FileEntry, wanted: Wanted, groups: Sequence[int] | None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a file for which all filters are true. Raises Tampered, BadRows, ColumnDenied."""
        with self._open(entry) as stream:
            if not stream.seek(0, 2):
                return
            stream.seek(0)
            for batch in self._read(stream, entry, wanted, groups):
                whole = with_values(batch, entry.path, wanted.target) if "=" in entry.path else batch
                arranged = arrange(whole, wanted.target, zone=wanted.options.time_zone,
                                   any_case=wanted.kind is Kind.PARQUET)  # fmt: skip
                found = matching(arranged, wanted.filters)
                if found.num_rows:
                    yield found

    def row_groups(self, entry: FileEntry, filters: Sequence[Pushed]) -> list[int]:
        """Return the row groups of a Parquet file that can have rows for the filters. Raises as `rows`."""
        with self._open(entry) as stream:
            return self._parquet(stream).groups(filters, None)

    def parquet_schema(self, entry: FileEntry) -> pa.Schema:
        """Return the columns of a Parquet file. Raises as `rows`."""
        with self._open(entry) as stream:
            return self._parquet(stream).schema

    @contextmanager
    def open(self, entry: FileEntry) -> Iterator[RawIOBase]:
        """Give a file's verified bytes; what goes wrong with them names data set and file."""
        with self._open(entry) as stream:
            yield stream

    @contextmanager
    def _open(self, entry: FileEntry) -> Iterator[RawIOBase]:
        try:
            stream = open_entry(self._folder, entry, self._data_key, pins=self._pins)
        except StrongroomError as problem:
            raise in_file(problem, self._data_set) from None
        with stream:
            try:
                yield stream
            except StrongroomError as problem:
                raise in_file(problem, self._data_set, entry.path) from None

    def _parquet(self, stream: RawIOBase) -> ParquetRows:
        keys = self._keys if self._pins is Pins.SHA256 else None
        return ParquetRows(stream, keys, null_if_denied=self._null_if_denied)

    def _read(
        self, stream: RawIOBase, entry: FileEntry, wanted: Wanted, groups: Sequence[int] | None
    ) -> Iterator[pa.RecordBatch]:  # fmt: skip
        if wanted.kind is Kind.PARQUET:
            file = self._parquet(stream)
            yield from file.batches(wanted.target.names, file.groups(wanted.filters, groups))
        elif wanted.kind is Kind.CSV:
            folders = values_of(entry.path)
            target = pa.schema([field for field in wanted.target if field.name not in folders])
            yield from read_csv(stream, wanted.options, target, [each for each in wanted.names if each not in folders])
        elif wanted.kind is Kind.JSON:
            yield from read_json(stream, wanted.target)
        elif wanted.kind is Kind.TEXT:
            if len(wanted.names) != 1:
                raise BadSourceOption("lines of text are one column")
            yield from read_text(stream, wanted.names[0])
        else:
            raise BadSourceOption("the data set is plain files; say of which kind (kind=csv, json, text or parquet)")
