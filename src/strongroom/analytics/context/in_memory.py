"""Sealed Parquet for Spark's own reader: decrypted, whole and verified, into the session's folder in memory.

Spark takes rows from Python one by one, and asks it for all columns and rows. Where driver and tasks are one process
and the files find room in memory, they are opened there instead: then Spark reads the columns and row groups that a
query needs, as it reads any Parquet. Everything else goes the way of format "sealed", which decrypts in the workers.

World: the session's folder, where spilled data lies as well. Copies last as long as the session or until `drop`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.sealing.read import OpenDataset, copy_entry
from strongroom.analytics.submit.storage import is_in_memory
from strongroom.datasets.manifest import Kind, Pins
from strongroom.pki import disk

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

FOLDER: Final = "opened"
_ROOM: Final = 4  # at most this part of the memory that is left: a query wants some, too
_PLAIN_TYPES: Final = frozenset({
    "boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "string", "binary", "date", "decimal",
    "timestamp",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Copy:
    """A data set's files in clear, and its schema as DDL."""

    paths: tuple[str, ...]
    schema: str


@dataclass(slots=True)
class OpenedCopies:
    """The copies of one session: `folder` is in its folder in memory, None where there is none."""

    folder: Path | None
    _known: dict[bytes, Copy | None] = field(default_factory=dict)  # by the manifest's MAC: the same files

    def of(self, found: OpenDataset) -> Copy | None:
        """Return the copy of a data set that was checked, or None where it has to go the other way.

        Raises DataFilesChanged and what else is wrong with a file; of that data set nothing is left then.
        """
        if self.folder is None or found.manifest.kind is not Kind.PARQUET or found.manifest.pins is not Pins.NODE0:
            return None
        if found.manifest.mac not in self._known:
            if not _fits(self.folder, (entry.size for entry in found.files)):
                return None
            self._known[found.manifest.mac] = _opened(self.folder, found)
        return self._known[found.manifest.mac]

    def drop(self) -> None:
        """Remove all copies; what was read from them cannot be asked again."""
        if self.folder is not None and self.folder.exists():
            shutil.rmtree(self.folder)
        self._known.clear()


def copies_of(spark: SparkSession) -> OpenedCopies:
    """Return where a session's copies go: nowhere unless its driver runs the tasks and it is one of ours."""
    from strongroom.sparkjobs.properties import FOLDER as SESSION

    session = spark.sparkContext.getConf().get(SESSION)
    if not session or not one_process(spark) or not is_in_memory(Path(session)):
        return OpenedCopies(None)
    return _of_session(Path(session))


def one_process(spark: SparkSession) -> bool:
    """Whether a session's driver runs the tasks itself."""
    master = spark.sparkContext.master or ""
    return master == "local" or master.startswith("local[")


@cache
def _of_session(folder: Path) -> OpenedCopies:
    """Return the copies that all contexts of a session share."""
    return OpenedCopies(folder / FOLDER)


def open_data_set(place: str, keys: KeyService, *, min_generation: int) -> OpenDataset:
    """Return a data set of any address that format "sealed" takes. Raises as OpenDataset."""
    from strongroom.analytics.source.places import folder_of

    return OpenDataset(folder_of(place), keys, min_generation=min_generation)


def _fits(folder: Path, sizes: Iterable[int]) -> bool:
    left = os.statvfs(folder.parent)
    return sum(sizes) <= left.f_bavail * left.f_frsize // _ROOM


def _opened(folder: Path, found: OpenDataset) -> Copy | None:
    """Decrypt all files into a folder of their own; None where Spark would read them otherwise than we do."""
    wanted = _columns(found.schema) if found.schema else {}
    paths = [entry.path for entry in found.files]
    if not paths or not _plain(wanted) or any("=" in path for path in paths):  # columns in the names of folders
        return None
    folder.mkdir(mode=disk.SECRET_FOLDER_MODE, exist_ok=True)
    place = folder / secrets.token_hex(8)
    place.mkdir(mode=disk.SECRET_FOLDER_MODE)
    try:
        copies = [_copy(found, path, place / f"{number:06}.parquet") for number, path in enumerate(paths)]
        if _all_alike(copies, wanted):
            return Copy(tuple(map(str, copies)), found.schema)
    except BaseException:
        shutil.rmtree(place)
        raise
    shutil.rmtree(place)
    return None


def _copy(found: OpenDataset, path: str, to: Path) -> Path:
    """Write one file; nothing reads it before its last byte was verified."""
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, disk.SECRET_MODE)
    with os.fdopen(descriptor, "wb") as file:
        copy_entry(found, path, file.write)
    return to


def _plain(wanted: Mapping[str, str]) -> bool:
    """Whether a schema has columns, all of types that Spark and pyarrow read alike, whose names differ in any case."""
    names = {name.lower() for name in wanted}
    return 0 < len(wanted) == len(names) and all(kind.partition("(")[0] in _PLAIN_TYPES for kind in wanted.values())


def _all_alike(paths: Sequence[Path], wanted: Mapping[str, str]) -> bool:
    """Whether each column of each file has the schema's type."""
    import pyarrow.parquet as pq

    for path in paths:
        for column in pq.read_schema(path):
            kind = wanted.get(column.name)
            if kind is not None and _type(column.type) != kind:
                return False
    return True


def _columns(ddl: str) -> dict[str, str]:
    from pyspark.sql.types import StructType

    schema = StructType.fromDDL(ddl)
    fields = schema.fields if isinstance(schema, StructType) else []
    return {each.name: each.dataType.simpleString() for each in fields}


def _type(kind: pa.DataType) -> str:
    import pyarrow as pa
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import from_arrow_type

    if pa.types.is_timestamp(kind) and kind.unit not in {"us", "ms"}:
        return ""  # Spark keeps microseconds
    with contextlib.suppress(PySparkException):
        return from_arrow_type(kind, prefer_timestamp_ntz=True).simpleString()
    return ""
