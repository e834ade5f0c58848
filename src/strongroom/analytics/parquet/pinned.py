"""Parquet data sets with a manifest: checked whole before anything is read, committed whole after all is written.

Parquet's encryption protects each file's modules, not which files there are. The manifest pins every file by SHA-256,
under a data key of its own, so that missing, added, exchanged, cut and older files are refused by name. Files are
written below a folder that nobody reads (`staging_name`), hashed there, moved into place, and named by the manifest
last. Between the check and Spark's own reading, whoever can write the folder could still exchange a file for another
one that was encrypted under the same key; changed bytes are refused by Parquet itself even then.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.parquet.folder import ParquetFolder
from strongroom.datasets import manifest as manifests
from strongroom.datasets.manifest import DataFilesChanged, FileEntry, Kind, Manifest, Pins, parse_manifest
from strongroom.datasets.names import KeyId
from strongroom.datasets.paths import check_data_path
from strongroom.errors import BadInput, Refused
from strongroom.secret import Secret

STAGING: Final = "_strongroom-"
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")


class NoDataSet(BadInput):
    """A folder has no manifest, so nobody can tell whether its files are those that were written."""

    code = "SR-DATA-NO-MANIFEST"
    fix = "Write it with StrongroomContext or strongroom data seal; read plain files with plain_text."


class OtherDataSet(Refused):
    """A folder holds another data set than the one asked for: other name, kind, way of encryption or primary key."""

    code = "SR-DATA-OTHER"
    fix = "Check path, name, key and mode; strongroom data inspect shows what the folder says it is."


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


def staging_name() -> str:
    """Return a fresh name for the folder below the data set's where files are written first."""
    return f"{STAGING}{secrets.token_hex(8)}"


def dataset_name(address: str) -> str:
    """Return the name of a data set that is given none: the last part of its folder's address."""
    return _NOT_IN_NAMES.sub("-", address.rstrip("/").rpartition("/")[2]).strip("-._")[:128] or "data"


def open_pinned(folder: ParquetFolder, keys: KeyService, wanted: Wanted = ANYTHING) -> Pinned:
    """Return a data set once its manifest and every file have been checked.

    Raises NoDataSet, OtherDataSet, BadDataManifest, DataManifestForged, DataSetOld, DataFilesChanged, KeyNotGranted.
    """
    found = _checked_manifest(folder, keys)  # 1. The manifest opens under a key that we were given.
    if found is None:
        raise NoDataSet(f"{folder.address()} has no {manifests.FILE_NAME}")
    _check_wanted(found.manifest, wanted)  # 2. It is the data set that was asked for, and not an old copy.
    found.manifest.check_listing(folder.sizes())  # 3. The folder has these files and no others.
    paths = found.paths
    for path, digest in zip(paths, folder.digests(paths), strict=True):
        found.manifest.check_pin(path, digest)  # 4. Each has the bytes that were committed.
    return found


def commit(
    folder: ParquetFolder, keys: KeyService, staged: str, *, key: str, now: datetime, schema: str = "",
    append: bool = False, name: str = "",
) -> Manifest:  # fmt: skip
    """Make the files of a staging folder the data set's next generation, beside or instead of those that are there.

    Raises what open_pinned raises for the generation before; nothing has changed then, and staging can be removed.
    """
    with folder.exclusive():
        before = _checked_manifest(folder, keys)
        present = folder.sizes()
        if append and before is None and present:
            raise DataFilesChanged(f"{folder.address()} has files that no manifest names: nothing is appended to them")
        if append and before is not None:
            _check_wanted(before.manifest, Wanted(key=key, name=name))
            before.manifest.check_listing(present)
        fresh = _entries(folder, staged)
        after = _next(before, keys, key, fresh, now=now, append=append, name=name or dataset_name(folder.address()))
        after = _with_schema(after, before, schema, append=append)
        _put(folder, staged, after, [entry.path for entry in fresh])
        if not append:
            folder.remove(sorted(present.keys() - {entry.path for entry in fresh}))
        return after.manifest


def _checked_manifest(folder: ParquetFolder, keys: KeyService) -> Pinned | None:
    data = folder.read(manifests.FILE_NAME, manifests.MAX_BYTES)
    if data is None:
        return None
    manifest = parse_manifest(data)
    data_key = keys.unwrap(manifest.key_id, manifest.wrapped_data_key)
    manifest.check(data_key)
    return Pinned(manifest, data_key)


def _check_wanted(manifest: Manifest, wanted: Wanted) -> None:
    if manifest.kind is not Kind.PARQUET or manifest.pins is not Pins.SHA256:
        raise OtherDataSet(f"data set {manifest.name} is {manifest.kind} under the mode sealed, not encrypted Parquet")
    if wanted.key and manifest.key_id.name != wanted.key:
        raise OtherDataSet(f"data set {manifest.name} is under primary key {manifest.key_id.name}, not {wanted.key}")
    if wanted.name and manifest.name != wanted.name:
        raise OtherDataSet(f"the folder holds data set {manifest.name}, asked for is {wanted.name}")
    manifest.check_generation(wanted.min_generation)


def _entries(folder: ParquetFolder, staged: str) -> list[FileEntry]:
    sizes = folder.sizes(staged)
    paths = [check_data_path(path) for path in sorted(sizes)]
    digests = folder.digests([f"{staged}/{path}" for path in paths])
    return [FileEntry(path, sizes[path], digest) for path, digest in zip(paths, digests, strict=True)]


def _next(
    before: Pinned | None, keys: KeyService, key: str, fresh: list[FileEntry], *, now: datetime, append: bool, name: str
) -> Pinned:  # fmt: skip
    if append and before is not None:
        data_key, wrapped, key_id = before.data_key, before.manifest.wrapped_data_key, before.manifest.key_id
        name, files = before.manifest.name, [*before.manifest.files, *fresh]
    else:
        made = keys.new_data_key(key)
        data_key, wrapped, key_id, files = made.plain, made.wrapped, made.key_id, fresh
    manifest = Manifest(
        name=name, kind=Kind.PARQUET, pins=Pins.SHA256, key_id=key_id, wrapped_data_key=wrapped, created=now,
        generation=before.manifest.generation + 1 if before else 1, previous=before.manifest.mac if before else b"",
        files=tuple(sorted(files)),
    )  # fmt: skip
    return Pinned(manifest, data_key)


def _with_schema(after: Pinned, before: Pinned | None, schema: str, *, append: bool) -> Pinned:
    # Files of several schemas have none in common that was written: their reader merges what the files say.
    one = schema if not append or before is None or before.schema == schema else ""
    manifest = after.manifest.with_schema(one, after.data_key) if one else replace(after.manifest, sealed_schema=b"")
    return replace(after, manifest=manifest.authenticated(after.data_key))


def _put(folder: ParquetFolder, staged: str, after: Pinned, paths: list[str]) -> None:
    content = after.manifest.to_bytes()
    try:
        folder.take(staged, paths)
        folder.replace(manifests.FILE_NAME, content)
    except BaseException:
        if folder.read(manifests.FILE_NAME, manifests.MAX_BYTES) != content:  # else the commit counts
            folder.remove(paths)  # readers would refuse the folder for files that no manifest names
        raise
    folder.remove([staged])


def key_ids(keys: KeyService, key: str, columns: dict[str, list[str]]) -> tuple[KeyId, dict[KeyId, list[str]]]:
    """Return the present versions of the primary keys of a file and of its columns. Raises KeyNotGranted."""
    return keys.current(key), {keys.current(name): list(names) for name, names in columns.items()}
