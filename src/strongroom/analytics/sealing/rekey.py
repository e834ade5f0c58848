"""Bring a data set under another primary key or version: its data key wrapped anew, or all of it sealed anew."""

from __future__ import annotations

import os
from dataclasses import replace

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.sealing.commit import commit
from strongroom.analytics.sealing.folder import Folder, as_folder
from strongroom.analytics.sealing.read import OpenDataset, Progress, copy_entry, steps
from strongroom.analytics.sealing.write import DatasetWriter
from strongroom.datasets.manifest import Manifest, Pins
from strongroom.errors import BadInput


class KeysInFiles(BadInput):
    """A data set under Parquet's own encryption keeps wrapped keys inside of its files, where they stay."""

    code = "SR-DATA-REKEY"
    fix = "Read it and write it to a new data set with Spark, which wraps all keys under the current version."


def rewrap(place: str | os.PathLike[str] | Folder, keys: KeyService, key: str) -> Manifest:
    """Wrap the data key under the current version of `key`, and leave every data file and the generation as they are.

    Whoever had the data key may have kept it: only `reseal` takes data away from them. Raises KeysInFiles,
    CommittedMeanwhile, and as OpenDataset.
    """
    folder = as_folder(place)
    with OpenDataset(folder, keys) as opened:
        _check_sealed(opened)
        key_id = keys.current(key)
        manifest = replace(
            opened.manifest, key_id=key_id, wrapped_data_key=keys.wrap(key_id, opened.data_key)
        ).authenticated(opened.data_key)
        commit(folder, opened.manifest, manifest)
        return manifest


def reseal(opened: OpenDataset, writer: DatasetWriter, progress: Progress | None = None) -> Manifest:
    """Seal every file of one data set anew into another and commit that. Raises KeysInFiles and as both do."""
    _check_sealed(opened)
    for entry, heard in steps(opened.files, progress):
        with writer.create(entry.path) as sealed:
            copy_entry(opened, entry.path, sealed.write, heard)
            writer.adopt(sealed.finish(), at=writer.staged(entry.path))
    return writer.commit(schema=opened.schema)


def _check_sealed(opened: OpenDataset) -> None:
    if opened.manifest.pins is not Pins.NODE0:
        raise KeysInFiles(f"data set {opened.manifest.name} is under Parquet's own encryption")
