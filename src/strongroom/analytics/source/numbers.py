"""Decimals that travel from the workers to Spark as whole numbers of their last digit (10.50 as 1050).

Spark makes three objects of every decimal that Arrow hands it, and none of a BIGINT. A column that travels so says what
it is in its comment, and `with_decimals` makes a decimal of it again, within the JVM's compiled code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from pyspark.sql.types import DecimalType, LongType, StructField, StructType

from strongroom.analytics.source.ddl import columns_of, quoted

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

MAX_DIGITS: Final = 18  # of a decimal that Spark itself keeps in 64 bits
_BYTES_TWICE: Final = 2  # an Arrow decimal has 128 bits, of which the lower 64 say all up to MAX_DIGITS
_DECIMAL: Final = re.compile(r"DECIMAL\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)( NOT NULL)?\Z", re.IGNORECASE | re.ASCII)
_COMMENT: Final = re.compile(r"sealed DECIMAL\((\d{1,2}),(\d{1,2})\) as a whole number\Z", re.ASCII)


def as_numbers(ddl: str) -> str:
    """Return a schema whose decimals of up to 18 digits are BIGINT, with a comment that says so. Raises as columns_of.

    What is written in another way than our writers do (a nested decimal, DEC, a comment) stays as it is.
    """
    return ", ".join(_as_number(name, definition) for name, definition in columns_of(ddl).items())


def decimals_of(schema: StructType) -> dict[str, DecimalType]:
    """Return the columns of a schema that are decimals in the files: name -> type."""
    found = {field.name: _decimal(field) for field in schema.fields}
    return {name: kind for name, kind in found.items() if kind is not None}


def in_files(schema: StructType, decimals: Mapping[str, DecimalType]) -> StructType:
    """Return a schema as the files have it."""
    return StructType(
        [StructField(field.name, decimals.get(field.name, field.dataType), field.nullable) for field in schema.fields]
    )


def numbered(batch: pa.RecordBatch, decimals: Mapping[str, DecimalType]) -> pa.RecordBatch:
    """Return a batch with these decimals as whole numbers."""
    for name in decimals:
        at = batch.schema.get_field_index(name)
        field = pa.field(name, pa.int64(), batch.schema.field(at).nullable)
        batch = batch.set_column(at, field, _whole(batch.column(at)))
    return batch


def with_decimals(df: DataFrame) -> DataFrame:
    """Return a DataFrame with its decimals as such: whole numbers where they travelled as these."""
    decimals = decimals_of(df.schema)
    if not decimals:
        return df
    return df.select(
        *(
            _made(df, name, decimals[name]).alias(name) if name in decimals else df[quoted(name)]
            for name in df.columns
        )
    )  # fmt: skip


def _as_number(name: str, definition: str) -> str:
    for written in (quoted(name), name):
        match = _DECIMAL.match(definition.removeprefix(written).lstrip()) if definition.startswith(written) else None
        if match and int(match[2]) <= int(match[1]) <= MAX_DIGITS:
            comment = f"sealed DECIMAL({int(match[1])},{int(match[2])}) as a whole number"
            return f"{quoted(name)} BIGINT{(match[3] or '').upper()} COMMENT '{comment}'"
    return definition


def _decimal(field: StructField) -> DecimalType | None:
    match = _COMMENT.match(str(field.metadata.get("comment", ""))) if field.dataType == LongType() else None
    if match is None or not int(match[2]) <= int(match[1]) <= MAX_DIGITS:
        return None
    return DecimalType(int(match[1]), int(match[2]))


def _whole(array: pa.Array) -> pa.Array:
    valid, data = array.buffers()
    lower = np.frombuffer(data, dtype="<i8")[::_BYTES_TWICE][array.offset : array.offset + len(array)]
    mask = None if valid is None or not array.null_count else np.asarray(array.is_null())
    return pa.array(lower, pa.int64(), mask=mask)


def _made(df: DataFrame, name: str, kind: DecimalType) -> Column:
    from pyspark.sql.classic.column import Column

    sql = df.sparkSession._jvm.org.apache.spark.sql  # type: ignore[union-attr]  # noqa: SLF001  # no function does it
    columns = sql.classic.ExpressionUtils
    number = columns.expression(df[quoted(name)]._jc)  # noqa: SLF001
    return Column(columns.column(sql.catalyst.expressions.MakeDecimal(number, kind.precision, kind.scale)))
