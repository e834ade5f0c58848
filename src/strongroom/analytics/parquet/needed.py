"""Which data sets still need versions of a primary key that are about to go. World: folders.

A data set that was sealed says so in its manifest. One under Parquet's own encryption keeps wrapped keys in its files,
each under the version that counted when it was written: there, a few rows of every column are read, to see which are
asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.sealing.read import NoDataSet, OpenDataset, open_pinned_file, read_manifest
from strongroom.datasets import manifest as manifests
from strongroom.datasets.key_ring import KeyRing, UnknownKeyVersion
from strongroom.datasets.manifest import FileEntry, Pins
from strongroom.datasets.names import KeyId
from strongroom.datasets.paths import is_note
from strongroom.errors import Refused
from strongroom.secret import Secret

SHOWN: Final = 8


class VersionsNeeded(Refused):
    """Data sets are still under versions of a primary key that were about to go; none went."""

    code = "SR-DATA-KEY-NEEDED"
    fix = "Bring them under the newest version: strongroom data rekey DIR --key NAME; Parquet's own is written anew."


@dataclass(frozen=True, slots=True)
class Found:
    """What was seen: data set -> versions that it needs besides the current one, and which nobody could look into."""

    needing: dict[Path, frozenset[int]]
    unseen: tuple[Path, ...]

    def check(self) -> None:
        """Raise VersionsNeeded if one needs a version that is to go."""
        told = [f"{path} (version {', '.join(map(str, sorted(each)))})" for path, each in self.needing.items() if each]
        if told:
            rest = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
            raise VersionsNeeded(f"still needed by {', '.join(told[:SHOWN])}{rest}")


def look(places: Iterable[Path], ring: KeyRing) -> Found:
    """Look at all data sets in and below some folders. Raises NoDataSet for one without any, and as OpenDataset."""
    needing: dict[Path, frozenset[int]] = {}
    unseen = []
    for place in places:
        found = list(_data_sets(place))
        if not found:
            raise NoDataSet(f"there is no data set in {place} or below")
        for folder in found:
            try:
                needing[folder] = _versions(folder, ring) - {ring.current}
            except KeyNotGranted:
                unseen.append(folder)
    return Found(needing, tuple(unseen))


def _data_sets(place: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(place):
        below[:] = sorted(name for name in below if not is_note(name))
        if manifests.FILE_NAME in files:
            yield Path(folder)


def _versions(folder: Path, ring: KeyRing) -> frozenset[int]:
    """Return the versions that a data set needs. Raises KeyNotGranted where files open under other keys alone."""
    manifest = read_manifest(folder)
    if manifest.key_id.name != ring.name and manifest.pins is Pins.NODE0:
        return frozenset()
    keys = _Noting([ring])
    with suppress(UnknownKeyVersion), OpenDataset(folder, keys) as opened:  # what is lost already needs none of these
        for entry in opened.files if manifest.pins is Pins.SHA256 else ():
            with suppress(UnknownKeyVersion):
                _ask(opened, entry, keys)
    return frozenset(key_id.version for key_id in keys.asked)


def _ask(opened: OpenDataset, entry: FileEntry, keys: _Noting) -> None:
    """Have pyarrow ask for every key of a file. Columns under others' keys are none of ours."""
    import pyarrow.parquet as pq

    from strongroom.analytics.parquet.arrow import decryption

    with (
        open_pinned_file(opened.folder, entry) as file,
        pq.ParquetFile(file, decryption_properties=decryption(keys), pre_buffer=False) as parquet,  # see arrow.py
    ):
        for name in parquet.schema_arrow.names if parquet.num_row_groups else ():
            try:
                next(parquet.iter_batches(batch_size=1, row_groups=[0], columns=[name], use_threads=False), None)
            except (KeyNotGranted, UnknownKeyVersion):
                continue


class _Noting(RingKeys):
    """Keys that note which of them were asked for."""

    def __init__(self, rings: Iterable[KeyRing]) -> None:
        super().__init__(rings)
        self.asked: Final[set[KeyId]] = set()

    def unwrap(self, key_id: KeyId, wrapped: str) -> Secret:
        """Return a data key, and note the version."""
        key = super().unwrap(key_id, wrapped)
        self.asked.add(key_id)
        return key
