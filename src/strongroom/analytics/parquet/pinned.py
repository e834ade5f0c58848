"""Parquet data sets with a manifest: checked whole before anything is read, committed whole after all is written.

Parquet's encryption protects each file's modules, not which files there are. The manifest pins every file by SHA-256,
under a data key of its own, so that missing, added, exchanged, cut and older files are refused by name. Files are
written below a folder that nobody reads (`staging`), hashed there, and committed as all data sets are. Between the
check and Spark's own reading, whoever can write the folder could still exchange a file for another one that was
encrypted under the same key; changed bytes are refused by Parquet itself even then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.parquet.folder import ParquetFolder
from strongroom.analytics.sealing.commit import commit, following, fresh_staging, unlisted
from strongroom.analytics.sealing.read import NoDataSet, OtherDataSet, check_named, check_whole
from strongroom.datasets.manifest import DataFilesChanged, FileEntry, Kind, Manifest, Pins
from strongroom.datasets.names import KeyId
from strongroom.datasets.paths import check_data_path
from strongroom.secret import Secret

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader insists on. `key`: a primary key's name, `name`: the data set's; empty: any."""

    key: str = ""
    name: str = ""
    min_generation: int = 0


ANYTHING: Final = Wanted()


@dataclass(frozen=True, slots=True)
class Pinned:
    """A data set whose manifest has been checked under its data key."""

    manifest: Manifest
    data_key: Secret

    @property
    def paths(self) -> list[str]:
        """The files' paths."""
        return [entry.path for entry in self.manifest.files]

    @property
    def schema(self) -> str:
        """The schema as DDL, empty where none was written."""
        return self.manifest.schema(self.data_key)


def dataset_name(address: str) -> str:
    """Return the name of a data set that is given none: the last part of its folder's address."""
    return _NOT_IN_NAMES.sub("-", address.rstrip("/").rpartition("/")[2]).strip("-._")[:128] or "data"


def open_pinned(folder: ParquetFolder, keys: KeyService, wanted: Wanted = ANYTHING) -> Pinned:
    """Return a data set once its manifest and every file have been checked.

    Raises NoDataSet, OtherDataSet, BadDataManifest, DataManifestForged, DataSetOld, DataFilesChanged, KeyNotGranted.
    """
    # 1. It is the data set that was asked for, and not an old copy, and the folder has its files and no others.
    found = Pinned(*check_whole(folder, keys, lambda manifest: _check_wanted(manifest, wanted)))
    # 2. Each file has the bytes that were committed.
    paths = found.paths
    for path, digest in zip(paths, folder.digests(paths), strict=True):
        found.manifest.check_pin(path, digest)
    return found


class PinnedWriter:
    """One commit to a data set: files are written below `staging` by others; gone at the end unless committed.

    `append`: beside what is there, which keeps its data key; else instead of it, plain files included. Raises
    DataFilesChanged, OtherDataSet, and what open_pinned raises for a manifest that is there.
    """

    def __init__(
        self, folder: ParquetFolder, keys: KeyService, *, key: str, append: bool = False, name: str = ""
    ) -> None:
        self.staging: Final = fresh_staging()
        self._folder, self._keys, self._key = folder, keys, key
        wanted = Wanted(key=key, name=name)
        self._before: Final = _present(folder, keys, wanted if append else None)
        self._plain: Final = unlisted(folder) if self._before is None else frozenset()
        self._append: Final = append and self._before is not None
        self._name: Final = name or dataset_name(folder.address())
        if append and self._plain:
            raise DataFilesChanged(f"{folder.address()} has files that no manifest names: nothing is appended to them")

    def commit(self, *, now: datetime, schema: str = "") -> Manifest:
        """Make the files the data set's next generation. Raises as `sealing.commit` does; nothing has changed then."""
        fresh = _entries(self._folder, self.staging)
        before = None if self._before is None else self._before.manifest
        draft, data_key = self._draft(fresh, now)
        if one := self._schema(schema):
            draft = draft.with_schema(one, data_key)
        after = following(draft, before).authenticated(data_key)
        staged = {self.staging: [entry.path for entry in fresh]}
        commit(self._folder, before, after, staged, staging=self.staging, replaced=self._plain)
        return after

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.remove(self.staging)

    def _draft(self, fresh: list[FileEntry], now: datetime) -> tuple[Manifest, Secret]:
        if self._append and self._before is not None:
            there = self._before.manifest
            files = tuple(sorted([*there.files, *fresh]))
            return replace(there, files=files, created=now, sealed_schema=b""), self._before.data_key
        made = self._keys.new_data_key(self._key)
        manifest = Manifest(
            name=self._name, kind=Kind.PARQUET, pins=Pins.SHA256, key_id=made.key_id, wrapped_data_key=made.wrapped,
            created=now, generation=1, files=tuple(fresh),
        )  # fmt: skip
        return manifest, made.plain

    def _schema(self, schema: str) -> str:
        # Files of several schemas have none in common that was written: their reader merges what the files say.
        return schema if not self._append or self._before is None or self._before.schema == schema else ""


def _present(folder: ParquetFolder, keys: KeyService, wanted: Wanted | None) -> Pinned | None:
    def check(manifest: Manifest) -> None:
        if wanted is not None:
            _check_wanted(manifest, wanted)

    try:
        return Pinned(*check_whole(folder, keys, check))
    except NoDataSet:
        return None


def _check_wanted(manifest: Manifest, wanted: Wanted) -> None:
    if manifest.kind is not Kind.PARQUET or manifest.pins is not Pins.SHA256:
        raise OtherDataSet(f"data set {manifest.name} is {manifest.kind} under the mode sealed, not encrypted Parquet")
    check_named(manifest, key=wanted.key, name=wanted.name)
    manifest.check_generation(wanted.min_generation)


def _entries(folder: ParquetFolder, staged: str) -> list[FileEntry]:
    sizes = folder.sizes(staged)
    paths = [check_data_path(path) for path in sorted(sizes)]
    digests = folder.digests([f"{staged}/{path}" for path in paths])
    return [FileEntry(path, sizes[path], digest) for path, digest in zip(paths, digests, strict=True)]


def key_ids(keys: KeyService, key: str, columns: dict[str, list[str]]) -> tuple[KeyId, dict[KeyId, list[str]]]:
    """Return the present versions of the primary keys of a file and of its columns. Raises KeyNotGranted."""
    return keys.current(key), {keys.current(name): list(names) for name, names in columns.items()}
