"""Days that Spark wrote in the calendar it had before 3.0, Julian until October 1582: refused, never shifted.

Spark's own reader turns them into days of ours; pyarrow does not know that there is anything to turn.
Source: what Spark 4's DataSourceUtils looks for in a file's footer.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from strongroom.analytics.source.faults import BadRows

_VERSION: Final = b"org.apache.spark.version"
_VERSION_FORM: Final = re.compile(rb"([0-9]{1,4})\.([0-9]{1,4})\.")
_FIRST_DAY: Final = dt.date(1582, 10, 15)  # from here on both calendars have the same days
_FIRST_INSTANT: Final = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)  # zones had other offsets before
_FIX: Final = (
    "Write the file anew in Spark with spark.sql.parquet.datetimeRebaseModeInWrite and "
    "spark.sql.parquet.int96RebaseModeInWrite set to CORRECTED, and seal that."
)


def former_days(footer: Mapping[bytes, bytes] | None) -> bool:
    """Return whether a file's dates and times are of the former calendar."""
    return _former(footer or {}, b"org.apache.spark.legacyDateTime", (3, 0))


def former_int96(footer: Mapping[bytes, bytes] | None) -> bool:
    """Return whether a file's INT96 times are of the former calendar."""
    return _former(footer or {}, b"org.apache.spark.legacyINT96", (3, 1))


def check_days(name: str, array: pa.Array) -> None:
    """Take a column of the former calendar whose days are the same in ours. Raises BadRows."""
    for each in _leaves(array):
        if pa.types.is_date(each.type):
            before = pc.less(each, pa.scalar(_FIRST_DAY, each.type))
        elif pa.types.is_timestamp(each.type):
            before = pc.less(each.cast(pa.timestamp("us", "UTC")), pa.scalar(_FIRST_INSTANT))
        else:
            continue
        if pc.any(before).as_py():
            raise BadRows(f"column {name} has days of a calendar that Spark gave up with 3.0", fix=_FIX)


def _former(footer: Mapping[bytes, bytes], flag: bytes, since: tuple[int, int]) -> bool:
    version = _VERSION_FORM.match(footer.get(_VERSION, b""))
    return flag in footer or (version is not None and (int(version[1]), int(version[2])) < since)


def _leaves(array: pa.Array) -> Iterator[pa.Array]:
    kind = array.type
    if pa.types.is_struct(kind):
        inner = array.flatten()
    elif pa.types.is_map(kind):
        inner = [array.keys, array.items]
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = [array.flatten()]
    else:
        yield array
        return
    for each in inner:
        yield from _leaves(each)
