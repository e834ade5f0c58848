"""Trained models on their way out of a job: sealed files of a data set, from memory, and back where somebody may read.

World: the folder and the keys. A job that learned from sealed data writes its model under a primary key as well; the
owner, who has that key, hands it to `strongroom model publish`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.sealing.read import NoDataSet, OpenDataset, read_manifest
from strongroom.analytics.sealing.write import DatasetWriter, Mode
from strongroom.datasets.manifest import Kind, Manifest
from strongroom.errors import BadInput

MAX_MODEL_BYTES: Final = 8 * 1024**3


class NotAModel(BadInput):
    """A sealed data set holds no model, or more than a model."""

    code = "SR-LEARN-NO-MODEL"
    fix = "Name the folder that a learning program wrote its model to (--save)."


def save(
    place: str | os.PathLike[str], keys: KeyService, files: Mapping[str, bytes], *, name: str, key: str
) -> Manifest:
    """Seal a model's files under a primary key, as one generation more where an earlier one of them is there.

    Raises BadDataPath, KeyNotGranted, and as DatasetWriter does; then nothing is left of it.
    """
    with DatasetWriter(place, keys, name=name, key=key, kind=Kind.FILE, mode=_mode(place)) as writer:
        for path, content in files.items():
            with writer.create(path) as stream:
                stream.write(content)
                entry = stream.finish()
            writer.adopt(entry, at=writer.staged(path))
        return writer.commit()


def load(place: str | os.PathLike[str], keys: KeyService, *, min_generation: int = 0) -> dict[str, bytes]:
    """Return a model's files by path, each verified whole. Raises NotAModel, and as OpenDataset does."""
    with OpenDataset(place, keys, min_generation=min_generation) as opened:
        if opened.manifest.kind is not Kind.FILE or not opened.files:
            raise NotAModel(f"data set {opened.manifest.name} is {opened.manifest.kind}, and no model")
        if sum(entry.size for entry in opened.files) > MAX_MODEL_BYTES:
            raise NotAModel(f"data set {opened.manifest.name} is larger than any model")
        found = {}
        for entry in opened.files:
            with opened.open(entry.path) as stream:
                found[entry.path] = stream.read()
        return found


def _mode(place: str | os.PathLike[str]) -> Mode:
    try:
        read_manifest(os.fspath(place))
    except NoDataSet:
        return Mode.NEW
    return Mode.OVERWRITE
