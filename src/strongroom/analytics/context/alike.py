"""Which sealed Parquet Spark's own reader reads as ours does: plain columns, of the types that the schema says.

Everything else goes the way of format "sealed", whose workers decrypt. Looked at are the footers of all files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from strongroom.analytics.parquet.folder import THREADS
from strongroom.analytics.sealing.read import OpenDataset, named
from strongroom.datasets.manifest import Kind, Pins
from strongroom.errors import StrongroomError
from strongroom.sealing import SealedReader

if TYPE_CHECKING:
    import pyarrow as pa

_PLAIN_TYPES: Final = frozenset({
    "boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "string", "binary", "date", "decimal",
    "timestamp",
})  # fmt: skip
MAX_FILES: Final = 20_000  # a list of them goes to every executor that scans, and each is opened before


@dataclass(frozen=True, slots=True)
class Scan:
    """What Spark's own reader is given to read a data set in clear, besides its schema."""

    paths: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)


def plain_sizes(found: OpenDataset) -> dict[str, int] | None:
    """Return path -> bytes in clear of all files, or None where Spark would read them otherwise than we do.

    Raises DataFilesChanged and what else is wrong with the nodes that are looked at.
    """
    paths = [entry.path for entry in found.files]
    if (
        not 0 < len(paths) <= MAX_FILES
        or found.manifest.kind is not Kind.PARQUET
        or found.manifest.pins is not Pins.NODE0
    ):
        return None
    wanted = columns(found.schema) if found.schema else {}
    if not plain(wanted) or any("=" in path for path in paths):  # columns in the names of folders
        return None
    with ThreadPoolExecutor(THREADS) as pool:
        sizes = list(pool.map(lambda path: _size_if_alike(found, path, wanted), paths))
    found_sizes = {path: size for path, size in zip(paths, sizes, strict=True) if size is not None}
    return found_sizes if len(found_sizes) == len(paths) else None


def plain(wanted: Mapping[str, str]) -> bool:
    """Whether a schema has columns, all of types that Spark and pyarrow read alike, whose names differ in any case."""
    names = {name.lower() for name in wanted}
    return 0 < len(wanted) == len(names) and all(kind.partition("(")[0] in _PLAIN_TYPES for kind in wanted.values())


def columns(ddl: str) -> dict[str, str]:
    """Return column -> type of a schema."""
    from pyspark.sql.types import StructType

    schema = StructType.fromDDL(ddl)
    fields = schema.fields if isinstance(schema, StructType) else []
    return {each.name: each.dataType.simpleString() for each in fields}


def _size_if_alike(found: OpenDataset, path: str, wanted: Mapping[str, str]) -> int | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with found.open(path) as stream:
        try:
            same = _alike(pq.read_schema(stream), wanted)
        except StrongroomError as problem:
            raise named(problem, path) from None
        except pa.ArrowException:
            return None  # no Parquet: whoever reads its rows says so
        return stream.size if same and isinstance(stream, SealedReader) else None


def _alike(schema: pa.Schema, wanted: Mapping[str, str]) -> bool:
    """Whether each column of a file has the schema's type; Spark finds a column whatever the case of its name."""
    kinds = {name.lower(): kind for name, kind in wanted.items()}
    for column in schema:
        kind = kinds.get(column.name.lower())
        if kind is not None and (column.name not in wanted or _type(column.type) != kind):
            return False
    return True


def _type(kind: pa.DataType) -> str:
    import pyarrow as pa
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import from_arrow_type

    if pa.types.is_timestamp(kind) and kind.unit not in {"us", "ms"}:
        return ""  # Spark keeps microseconds
    with contextlib.suppress(PySparkException):
        return from_arrow_type(kind, prefer_timestamp_ntz=True).simpleString()
    return ""
