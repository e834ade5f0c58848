"""Columns whose values stand in the names of folders (day=2024-01-02/…), as Spark's partitionBy writes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
from pyspark.sql.types import DataType, DateType, IntegerType, LongType, StringType, StructField

from strongroom.analytics.source.faults import BadRows

_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
_WHOLE: Final = re.compile(r"-?\d{1,18}", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INT_BITS: Final = 31


def values_of(path: str) -> dict[str, str | None]:
    """Return column -> value, None for null, that the folders of a file's path say."""
    pairs = [part.partition("=") for part in path.split("/")[:-1]]
    return {unquote(name): None if value == _NULL else unquote(value) for name, equals, value in pairs if equals}


def fields_of(paths: Iterable[str]) -> list[StructField]:
    """Return the columns that the folders of all files say: whole numbers, dates, else texts."""
    found: dict[str, list[str]] = {}
    for path in paths:
        for name, value in values_of(path).items():
            found.setdefault(name, []).extend([] if value is None else [value])
    return [StructField(name, _type(values)) for name, values in found.items()]


def with_values(batch: pa.RecordBatch, path: str, target: pa.Schema) -> pa.RecordBatch:
    """Return a batch with those of the wanted columns that only its file's folders say. Raises BadRows."""
    for name, value in values_of(path).items():
        at = target.get_field_index(name)
        if at >= 0 and name not in batch.schema.names:
            batch = batch.append_column(name, _repeated(value, target.field(at), batch.num_rows))
    return batch


def _repeated(value: str | None, field: pa.Field, rows: int) -> pa.Array:
    try:
        return pa.array([value] * rows, pa.string()).cast(field.type)
    except pa.ArrowException:
        raise BadRows(f"column {field.name} has a folder whose value is no {field.type}") from None


def _type(values: list[str]) -> DataType:
    if values and all(_WHOLE.fullmatch(value) for value in values):
        return IntegerType() if all(-(2**_INT_BITS) <= int(value) < 2**_INT_BITS for value in values) else LongType()
    return DateType() if values and all(_DATE.fullmatch(value) for value in values) else StringType()
