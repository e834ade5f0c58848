"""What may be appended to a data set: the same columns, or more of them where files name their columns. Pure."""

from __future__ import annotations

from strongroom.analytics.source.ddl import columns_of
from strongroom.analytics.source.faults import BadSourceOption
from strongroom.datasets.manifest import Kind

_NAMED = frozenset({Kind.JSON, Kind.PARQUET})


def appended_schema(before: str, added: str, kind: Kind) -> str:
    """Return the schema of old and new files together. Raises BadSourceOption where they do not go together.

    Columns that one of them has not are read as null, so they may not be NOT NULL.
    """
    if not before or before == added:
        return added
    old, new = columns_of(before), columns_of(added)
    for name in old.keys() & new.keys():
        if _nullable(old[name]) != _nullable(new[name]):
            raise BadSourceOption(f"column {name} is of another type than in the data set")
    if len({name.lower() for name in (*old, *new)}) < len(old.keys() | new.keys()):
        raise BadSourceOption("columns whose names differ in case alone would be two for Strongroom and one for Spark")
    if kind not in _NAMED and (list(old) != list(new)):
        raise BadSourceOption(f"{kind} is appended to with the same columns in the same order")
    merged = {name: _weaker(old.get(name), new.get(name)) for name in (*old, *new)}
    return ", ".join(merged.values())


def _weaker(old: str | None, new: str | None) -> str:
    if old == new and old is not None:
        return old
    return _nullable(old or new or "")


def _nullable(column: str) -> str:
    return column.removesuffix(" NOT NULL")
