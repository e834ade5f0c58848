"""Columns of a file in the shape that Spark expects: by name, in its order and types, absent ones as nulls."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from strongroom.analytics.source.faults import BadRows

_ZONE: Final = "UTC"


def arrow_schema(schema: StructType) -> pa.Schema:
    """Return what Spark checks batches against."""
    return to_arrow_schema(schema, timezone=_ZONE)


def arrange(batch: pa.RecordBatch, target: pa.Schema, *, zone: str = _ZONE) -> pa.RecordBatch:
    """Return a batch with the columns of `target`. Raises BadRows, naming the column and never a value.

    `zone`: where timestamps without one are.
    """
    arrays = []
    for field in target:
        at = batch.schema.get_all_field_indices(field.name)
        if len(at) > 1:
            raise BadRows(f"column {field.name} is there {len(at)} times")
        array = _as_type(batch.column(at[0]), field, zone) if at else pa.nulls(batch.num_rows, field.type)
        if not field.nullable and array.null_count:
            raise BadRows(f"column {field.name} has nulls, which the schema forbids")
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=target)


def _as_type(array: pa.Array, field: pa.Field, zone: str) -> pa.Array:
    if array.type == field.type:
        return array
    try:
        if pa.types.is_timestamp(field.type) and field.type.tz is not None:
            return _instant(array, field.type, zone)
        return array.cast(field.type)
    except (pa.ArrowException, ValueError):
        raise BadRows(f"column {field.name} has values that are no {field.type}") from None


def _instant(array: pa.Array, kind: pa.DataType, zone: str) -> pa.Array:
    if pa.types.is_string(array.type):
        try:
            return array.cast(kind)  # with an offset, such as Z
        except pa.ArrowException:
            array = array.cast(pa.timestamp("us"))
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        return array.cast(kind)
    return pc.assume_timezone(array.cast(pa.timestamp("us")), zone).cast(kind)
