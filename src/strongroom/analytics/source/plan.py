"""What the driver does with a data set before any row is read: its manifest, its list of files, its key and schema.

Names and wrapped keys travel to the workers; a data key never does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from strongroom.analytics.keys.opening import default_keys, open_keys
from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.sealing.folder import Folder, Stored
from strongroom.analytics.source.faults import NoDataSet
from strongroom.analytics.source.options import Options
from strongroom.datasets.manifest import (
    FILE_NAME,
    MAX_BYTES,
    DataFilesChanged,
    FileEntry,
    Manifest,
    parse_manifest,
)
from strongroom.sealing.reader import SealedReader, open_source
from strongroom.secret import Secret


@dataclass(frozen=True, slots=True)
class Planned:
    """A data set whose manifest was found authentic, and every listed file of its size."""

    manifest: Manifest
    data_key: Secret = field(repr=False)
    schema: str


def keys_of(options: Options) -> KeyService:
    """Return the keys that an option refers to, or this process's agent's. Raises BadKeysReference, KeyNotGranted."""
    return open_keys(options.keys) if options.keys else default_keys(os.environ)


def read_manifest(folder: Folder) -> Manifest | None:
    """Return what the manifest says, unchecked; None where there is none. Raises BadDataManifest."""
    try:
        return parse_manifest(folder.read(FILE_NAME, limit=MAX_BYTES))
    except FileNotFoundError:
        return None


def plan(folder: Folder, keys: KeyService, *, min_generation: int = 0) -> Planned:
    """Check a data set as a whole, all but the content of its files, which whoever opens them checks.

    Raises NoDataSet, BadDataManifest, KeyNotGranted, WrappedKeyRefused, DataManifestForged, DataSetOld,
    DataFilesChanged.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise NoDataSet(f"there is no sealed data set at {folder}")
    data_key = keys.unwrap(manifest.key_id, manifest.wrapped_data_key)
    manifest.check(data_key)
    manifest.check_generation(min_generation)
    manifest.check_listing(folder.sizes())
    return Planned(manifest, data_key, manifest.schema(data_key))


def open_file(folder: Folder, entry: FileEntry, data_key: Secret) -> SealedReader:
    """Open one sealed file of a manifest; every block is verified before it is handed out.

    Raises DataFilesChanged, and as sealing.open_source for a file that is another one or was changed.
    """
    try:
        stored = folder.open(entry.path)
    except FileNotFoundError:
        raise DataFilesChanged("the file is missing") from None
    try:
        check_size(stored, entry)
        return open_source(stored, data_key, stored_path=entry.path, pin=entry.pin, close=stored.close)
    except BaseException:
        stored.close()
        raise


def check_size(stored: Stored, entry: FileEntry) -> None:
    """Raise DataFilesChanged unless a file is as long as the manifest says."""
    if stored.size != entry.size:
        raise DataFilesChanged(f"it has {stored.size} bytes instead of {entry.size}")
