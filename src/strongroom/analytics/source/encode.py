"""Arrow batches as the bytes of a file: CSV, JSON lines, lines of text, Parquet. What cannot be held is refused."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from io import RawIOBase
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from strongroom.analytics.source.encode_csv import CsvRows
from strongroom.analytics.source.faults import RowsNotWritten
from strongroom.analytics.source.json_types import holds
from strongroom.analytics.source.options import Options
from strongroom.datasets.manifest import Kind

SUFFIXES: Final = {Kind.CSV: "csv", Kind.JSON: "json", Kind.TEXT: "txt", Kind.PARQUET: "parquet"}


class RowWriter(Protocol):
    """Writes batches of one schema behind each other."""

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Write rows. Raises RowsNotWritten."""

    def close(self) -> None:
        """Write what the format has at its end."""


def row_writer(stream: RawIOBase, kind: Kind, schema: pa.Schema, options: Options) -> RowWriter:
    """Return what writes rows into a stream. Raises RowsNotWritten where the kind cannot hold a column's type."""
    if kind is Kind.PARQUET:
        return _ParquetRows(stream, schema, options)
    if kind is Kind.CSV:
        return CsvRows(stream, schema, options)
    return _Lines(stream, _text_lines(schema) if kind is Kind.TEXT else _json_lines(schema))


class _ParquetRows:
    def __init__(self, stream: RawIOBase, schema: pa.Schema, options: Options) -> None:
        # Spark says of a field that it is never null where its struct can be, which Arrow refuses to write.
        self._schema: Final = pa.schema([field.with_type(_loose(field.type)) for field in schema])
        self._file: Final = pq.ParquetWriter(
            stream, self._schema, compression=str(options.compression),
            store_decimal_as_integer=True,  # as Spark does: read four times as fast
        )  # fmt: skip
        self._waiting: Final[list[pa.RecordBatch]] = []
        self._rows = 0

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Keep rows until they make a row group worth reading."""
        self._waiting.append(batch if batch.schema.equals(self._schema) else batch.cast(self._schema))
        self._rows += batch.num_rows
        if self._rows >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Write the rest and the footer."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(pa.Table.from_batches(self._waiting), row_group_size=GROUP_ROWS)
            self._waiting.clear()
            self._rows = 0


def _loose(kind: pa.DataType) -> pa.DataType:
    """Return a type whose inner fields can all be null."""
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _loose(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_loose(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(_loose(kind.key_type), _loose(kind.item_type))
    return kind


GROUP_ROWS: Final = 262_144


class _Lines:
    def __init__(self, stream: RawIOBase, lines: Callable[[pa.RecordBatch], str]) -> None:
        self._stream: Final = stream
        self._lines: Final = lines

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Write rows as lines."""
        self._stream.write(self._lines(batch).encode())

    def close(self) -> None:
        """Nothing is left to do."""


def _text_lines(schema: pa.Schema) -> Callable[[pa.RecordBatch], str]:
    if len(schema) != 1 or not pa.types.is_string(schema.field(0).type):
        raise RowsNotWritten("kind text holds one column of strings")
    return lambda batch: "".join(f"{line or ''}\n" for line in batch.column(0).to_pylist())


def _json_lines(schema: pa.Schema) -> Callable[[pa.RecordBatch], str]:
    for field in schema:
        if holds(field.type, lambda kind: pa.types.is_map(kind) and not pa.types.is_string(kind.key_type)):
            raise RowsNotWritten(f"JSON cannot hold column {field.name}: a map in JSON is from STRING")
    return _json_rows


def _json_rows(batch: pa.RecordBatch) -> str:
    try:
        return "".join(
            json.dumps(_without_nulls(row), default=_json_value, allow_nan=False, ensure_ascii=False) + "\n"
            for row in batch.to_pylist(maps_as_pydicts="strict")
        )
    except ValueError:
        raise RowsNotWritten("JSON has no NaN and no infinity") from None


def _without_nulls(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if value is not None}


def _json_value(value: object) -> object:
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise RowsNotWritten(f"JSON cannot hold a {type(value).__name__}")
