"""Trained models on their way out of a job: sealed files of a data set, from memory, and back where somebody may read.

World: the folder and the keys. A job that learned from sealed data writes its model under a primary key as well; the
owner, who has that key, hands it to `strongroom model publish`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
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
    """Seal a model's files under a primary key, below the number of their generation; earlier ones are removed.

    Raises BadDataPath, KeyNotGranted, and as DatasetWriter does; then nothing is left of it.
    """
    generation = _generation(place) + 1
    mode = Mode.NEW if generation == 1 else Mode.OVERWRITE
    with DatasetWriter(place, keys, name=name, key=key, kind=Kind.FILE, mode=mode) as writer:
        for inner, content in files.items():
            path = f"{generation}/{inner}"  # a commit brings no other file under a name that readers know
            with writer.create(path) as stream:
                stream.write(content)
                entry = stream.finish()
            writer.adopt(entry, at=writer.staged(path))
        return writer.commit()


def load(place: str | os.PathLike[str], keys: KeyService, *, min_generation: int = 0) -> dict[str, bytes]:
    """Return a model's files by path, each verified whole. Raises NotAModel, and as OpenDataset does."""
    with OpenDataset(place, keys, min_generation=min_generation) as opened:
        inner = [entry.path.partition("/")[2] for entry in opened.files]
        if opened.manifest.kind is not Kind.FILE or not inner or not all(inner):
            raise NotAModel(f"data set {opened.manifest.name} is {opened.manifest.kind}, and no model")
        if sum(entry.size for entry in opened.files) > MAX_MODEL_BYTES:
            raise NotAModel(f"data set {opened.manifest.name} is larger than any model")
        found = {}
        for path, entry in zip(inner, opened.files, strict=True):
            with opened.open(entry.path) as stream:
                found[path] = stream.read()
        return found


def _generation(place: str | os.PathLike[str]) -> int:
    try:
        return read_manifest(Path(place)).generation
    except NoDataSet:
        return 0
