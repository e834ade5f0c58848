"""Spark's filters, evaluated in the worker where Arrow means exactly the same by them; all others stay with Spark.

Taken over are whole numbers, decimals, dates, texts and booleans. Floats (NaN is equal to itself in Spark) and
timestamps (which depend on the session's zone) are left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import datasource as ds
from pyspark.sql.pandas.types import to_arrow_type
from pyspark.sql.types import (
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
    StructType,
)

_EXACT: Final = (BooleanType, ByteType, ShortType, IntegerType, LongType, DateType, DecimalType)
_COMPARED: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "EqualTo": pc.equal,
    "GreaterThan": pc.greater,
    "GreaterThanOrEqual": pc.greater_equal,
    "LessThan": pc.less,
    "LessThanOrEqual": pc.less_equal,
}
_TEXT: Final[Mapping[str, Callable[..., Any]]] = {
    "StringStartsWith": pc.starts_with,
    "StringEndsWith": pc.ends_with,
    "StringContains": pc.match_substring,
}


@dataclass(frozen=True, slots=True)
class Pushed:
    """One filter that the worker evaluates: `op` is the name of Spark's class; `value` is an Arrow scalar or array."""

    column: str
    op: str
    value: Any
    negated: bool

    def mask(self, batch: pa.RecordBatch) -> pa.Array:
        """Return true, false or null for every row, as SQL has it."""
        column = batch.column(self.column)
        if self.op in _COMPARED:
            found = _COMPARED[self.op](column, self.value)
        elif self.op in _TEXT:
            found = _TEXT[self.op](column, pattern=self.value.as_py())
        elif self.op == "EqualNullSafe":
            found = pc.fill_null(pc.equal(column, self.value), False)
        elif self.op == "In":
            found = pc.if_else(pc.is_valid(column), pc.is_in(column, value_set=self.value), None)
        else:
            found = pc.is_null(column) if self.op == "IsNull" else pc.is_valid(column)
        return pc.invert(found) if self.negated else found

    def may_match(self, least: object, most: object) -> bool:
        """Whether rows can match in a row group whose values lie between two bounds (and may be null)."""
        if self.negated or self.op not in (*_COMPARED, "EqualNullSafe", "In"):
            return True
        low, high = (pa.scalar(bound, type=self.value.type) for bound in (least, most))
        if self.op == "In":
            inside = pc.and_(pc.greater_equal(self.value, low), pc.less_equal(self.value, high))
            return bool(pc.any(inside).as_py())
        bounds = {"GreaterThan": (True, pc.greater), "GreaterThanOrEqual": (True, pc.greater_equal),
                  "LessThan": (False, pc.less), "LessThanOrEqual": (False, pc.less_equal)}  # fmt: skip
        if self.op in bounds:
            upper, holds = bounds[self.op]
            return bool(holds(high if upper else low, self.value).as_py())
        return bool(pc.less_equal(low, self.value).as_py() and pc.greater_equal(high, self.value).as_py())


def pushed(given: Iterable[ds.Filter], schema: StructType) -> tuple[list[Pushed], list[ds.Filter]]:
    """Return the filters that are taken over, and those that are left to Spark."""
    taken, left = [], []
    for each in given:
        found = _pushed(each, schema)
        if found is None:
            left.append(each)
        else:
            taken.append(found)
    return taken, left


def matching(batch: pa.RecordBatch, filters: Iterable[Pushed]) -> pa.RecordBatch:
    """Return the rows of a batch for which every filter is true."""
    for each in filters:
        batch = batch.filter(each.mask(batch))
    return batch


def _pushed(given: ds.Filter, schema: StructType) -> Pushed | None:
    negated = isinstance(given, ds.Not)
    inner: Any = given.child if isinstance(given, ds.Not) else given
    op, attribute = type(inner).__name__, tuple[str, ...](getattr(inner, "attribute", ()))
    if len(attribute) != 1 or attribute[0] not in schema.names:
        return None
    name = attribute[0]
    kind = schema[name].dataType
    if op in ("IsNull", "IsNotNull"):
        return Pushed(name, op, None, negated)
    value = _value(op, inner.value, kind)
    return None if value is None else Pushed(name, op, value, negated)


def _value(op: str, value: object, kind: DataType) -> pa.Scalar | pa.Array | None:
    text = kind == StringType()  # one with a collation compares otherwise
    if value is None or not (text or isinstance(kind, _EXACT)) or (op in _TEXT and not text):
        return None
    if op not in (*_COMPARED, *_TEXT, "EqualNullSafe", "In"):
        return None
    arrow = to_arrow_type(kind)
    try:
        if op == "In":
            values = list(value) if isinstance(value, list | tuple) else [None]
            return None if None in values else pa.array(values, type=arrow)
        return pa.scalar(value, type=arrow)  # type: ignore[call-overload, unused-ignore]  # any value that fits
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return None  # it does not fit the column's type: Spark knows what this means
