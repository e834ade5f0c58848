"""Sealed Parquet for Spark's own reader: decrypted, whole and verified, into the session's folder in memory.

Spark takes rows from Python one by one, and asks it for all columns and rows. Where driver and tasks are one process
and the files find room in memory, they are opened there instead: then Spark reads the columns and row groups that a
query needs, as it reads any Parquet. On clusters its executors decrypt: see `in_jvm`.

World: the session's folder, where spilled data lies as well. Copies last as long as the session or until `drop`.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from strongroom.analytics.context.alike import Scan
from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.sealing.read import OpenDataset, copy_entry
from strongroom.analytics.session.storage import is_in_memory
from strongroom.pki import disk

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FOLDER: Final = "opened"
_ROOM: Final = 4  # at most this part of the memory that is left: a query wants some, too


@dataclass(slots=True)
class OpenedCopies:
    """The copies of one session: `folder` is in its folder in memory, None where there is none."""

    folder: Path | None
    _known: dict[bytes, Scan] = field(default_factory=dict)  # by the manifest's MAC: the same files

    def of(self, found: OpenDataset) -> Scan | None:
        """Return the copy of a data set that Spark reads as we do (`alike`), None where there is no room for it.

        Raises DataFilesChanged and what else is wrong with a file; of that data set nothing is left then.
        """
        if self.folder is None:
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


def _opened(folder: Path, found: OpenDataset) -> Scan:
    """Decrypt all files into a folder of their own."""
    folder.mkdir(mode=disk.SECRET_FOLDER_MODE, exist_ok=True)
    place = folder / secrets.token_hex(8)
    place.mkdir(mode=disk.SECRET_FOLDER_MODE)
    try:
        copies = [_copy(found, entry.path, place / f"{at:06}.parquet") for at, entry in enumerate(found.files)]
    except BaseException:
        shutil.rmtree(place)
        raise
    return Scan(tuple(map(str, copies)))


def _copy(found: OpenDataset, path: str, to: Path) -> Path:
    """Write one file; nothing reads it before its last byte was verified."""
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, disk.SECRET_MODE)
    with os.fdopen(descriptor, "wb") as file:
        copy_entry(found, path, file.write)
    return to
