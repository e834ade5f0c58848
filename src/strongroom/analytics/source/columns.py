"""Columns of a file in the shape that Spark expects: by name, in its order and types, absent ones as nulls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from strongroom.analytics.source.faults import BadRows

_ZONE: Final = "UTC"
_WITH_OFFSET: Final = r"[T ][0-9:.,]+(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"


@dataclass(frozen=True, slots=True)
class _Way:
    zone: str
    any_case: bool

    def places(self, names: Sequence[str], wanted: str) -> list[int]:
        """Return where a name stands: the very name before those that differ from it in case."""
        found = [at for at, name in enumerate(names) if name == wanted]
        if found or not self.any_case:
            return found
        return [at for at, name in enumerate(names) if name.lower() == wanted.lower()]


def arrow_schema(schema: StructType) -> pa.Schema:
    """Return what Spark checks batches against."""
    return to_arrow_schema(schema, timezone=_ZONE)


def same_names(names: Sequence[str], wanted: Iterable[str]) -> list[str]:
    """Return those names that differ from a wanted one in case at most, which is one column for Spark in Parquet."""
    folded = {name.lower() for name in wanted}
    return [name for name in names if name.lower() in folded]


def arrange(batch: pa.RecordBatch, target: pa.Schema, *, zone: str = _ZONE, any_case: bool = False) -> pa.RecordBatch:
    """Return a batch with the columns of `target`. Raises BadRows, naming the column and never a value.

    `zone`: where timestamps without one are. `any_case`: a name stands for one that differs from it in case.
    """
    way = _Way(zone, any_case)
    arrays = []
    for field in target:
        at = way.places(batch.schema.names, field.name)
        if len(at) > 1:
            raise BadRows(f"column {field.name} is there {len(at)} times")
        try:
            array = _as_type(batch.column(at[0]), field.type, way) if at else pa.nulls(batch.num_rows, field.type)
        except (pa.ArrowException, ValueError):
            raise BadRows(f"column {field.name} has values that are no {field.type}") from None
        if not field.nullable and array.null_count:
            raise BadRows(f"column {field.name} has nulls, which the schema forbids")
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=target)


def _as_type(array: pa.Array, kind: pa.DataType, way: _Way) -> pa.Array:
    """Return an array as another type. What is below a null is never looked at: Arrow leaves anything there."""
    if array.type == kind:
        return array
    if pa.types.is_struct(kind) and pa.types.is_struct(array.type) and len(kind):
        return _struct(array, kind, way)
    if pa.types.is_map(kind) and pa.types.is_map(array.type):
        entry = pa.struct([kind.key_field, kind.item_field])
        lists = _as_type(_entries(array), pa.list_(entry), way)
        keys, items = lists.flatten().flatten()
        return pa.MapArray.from_arrays(_offsets(lists), keys, items, type=kind, mask=lists.is_null())
    if pa.types.is_list(kind) and (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        values = _as_type(array.flatten(), kind.value_type, way)
        if not kind.value_field.nullable and values.null_count:
            raise ValueError("a list has nulls")
        return pa.ListArray.from_arrays(_offsets(array), values, type=kind, mask=array.is_null())
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return _instants(array, kind, way.zone)
    return array.cast(kind)


def _struct(array: pa.StructArray, kind: pa.StructType, way: _Way) -> pa.StructArray:
    parts = array.flatten()  # null where the struct is
    columns = []
    for field in kind:
        at = way.places(array.type.names, field.name)
        if len(at) > 1:
            raise ValueError("a struct has a field more than once")
        column = _as_type(parts[at[0]], field.type, way) if at else pa.nulls(len(array), field.type)
        if not field.nullable and column.null_count > array.null_count:
            raise ValueError("a struct has nulls")
        columns.append(column)
    return pa.StructArray.from_arrays(columns, fields=list(kind), mask=array.is_null())


def _entries(array: pa.MapArray) -> pa.ListArray:
    """Return maps as lists of keys and items."""
    entries = pa.StructArray.from_arrays(
        [array.keys, array.items], fields=[array.type.key_field, array.type.item_field]
    )
    return pa.ListArray.from_arrays(pc.add(array.offsets, 0), entries, mask=array.is_null())


def _offsets(array: pa.ListArray) -> pa.Array:
    """Return where each list begins in the flattened array, which leaves out what null lists hold."""
    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64()))
    return pa.concat_arrays([pa.array([0], pa.int64()), ends]).cast(pa.int32())


def _instants(array: pa.Array, kind: pa.TimestampType, zone: str) -> pa.Array:
    if not pa.types.is_string(array.type):
        if pa.types.is_timestamp(array.type) and array.type.tz is not None:
            return array.cast(kind)
        return _in_zone(array.cast(pa.timestamp("us")), kind, zone)
    offset = pc.fill_null(pc.match_substring_regex(array, _WITH_OFFSET), True)
    if pc.all(offset, min_count=0).as_py():
        return array.cast(kind)
    local = pc.if_else(offset, None, array).cast(pa.timestamp("us"))
    return pc.coalesce(pc.if_else(offset, array, None).cast(kind), _in_zone(local, kind, zone))


def _in_zone(local: pa.Array, kind: pa.TimestampType, zone: str) -> pa.Array:
    # Of an hour that comes twice Spark takes the first one as well; one that never was is refused.
    return pc.assume_timezone(local, zone, ambiguous="earliest").cast(kind)
