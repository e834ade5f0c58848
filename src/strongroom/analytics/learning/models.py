"""Trained models on their way out of a job: sealed files of a data set, from memory, and back where somebody may read.

World: the folder and the keys. A job that learned from sealed data writes its model under a primary key as well; the
owner, who has that key, names the folder to `strongroom model publish`, which looks into it in memory alone.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.sealing.read import NoDataSet, OpenDataset, copy_entry, read_manifest
from strongroom.analytics.sealing.write import DatasetWriter, Mode
from strongroom.analytics.session.storage import SHARED_MEMORY, is_in_memory
from strongroom.datasets.manifest import FILE_NAME, Kind, Manifest, total_bytes
from strongroom.errors import BadInput, Refused

MAX_MODEL_BYTES: Final = 8 * 1024**3


class NotAModel(BadInput):
    """A sealed data set holds no model, or more than a model."""

    code = "SR-LEARN-NO-MODEL"
    fix = "Name the folder that a learning program wrote its model to (--save)."


class ModelNotInMemory(Refused):
    """This machine has no folder in memory in which a sealed model could be looked at."""

    code = "SR-LEARN-MEMORY"
    fix = "Open it with strongroom data open into a folder on an encrypted disk, publish that, and remove it."


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
        found = {}
        for path, stored in _inner_paths(opened.manifest).items():
            with opened.open(stored) as stream:
                found[path] = stream.read()
        return found


@contextmanager
def opened_in_memory(
    place: str | os.PathLike[str], keys: KeyService, *, min_generation: int = 0, memory: Path = SHARED_MEMORY
) -> Iterator[Path]:
    """Lend a private folder in memory with a model's plain files, each verified whole; it is gone at the end.

    Raises ModelNotInMemory, NotAModel, and as OpenDataset does.
    """
    if not memory.is_dir() or not is_in_memory(memory):
        raise ModelNotInMemory(f"{memory} is no folder in memory")
    with (
        OpenDataset(place, keys, min_generation=min_generation) as opened,
        tempfile.TemporaryDirectory(prefix="strongroom-model-", dir=memory) as name,
    ):
        for path, stored in _inner_paths(opened.manifest).items():
            target = Path(name, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as plain:  # nobody else may enter the folder
                copy_entry(opened, stored, plain.write)
        yield Path(name)


def is_sealed(place: Path) -> bool:
    """Whether a folder is a sealed data set, by its manifest's name."""
    return (place / FILE_NAME).is_file()


def _inner_paths(manifest: Manifest) -> dict[str, str]:
    """Return path in the model -> path in the data set, where each is below a generation. Raises NotAModel."""
    found = {entry.path.partition("/")[2]: entry.path for entry in manifest.files}
    if manifest.kind is not Kind.FILE or not found or not all(found) or len(found) != len(manifest.files):
        raise NotAModel(f"data set {manifest.name} is {manifest.kind}, and no model")
    if total_bytes(manifest.files) > MAX_MODEL_BYTES:
        raise NotAModel(f"data set {manifest.name} is larger than any model")
    return found


def _generation(place: str | os.PathLike[str]) -> int:
    try:
        return read_manifest(Path(place)).generation
    except NoDataSet:
        return 0
