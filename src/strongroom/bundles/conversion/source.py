"""What kind of model a path is: judged by its content, before TensorFlow is imported.

World: reads the beginning of one file, or the names in one folder.
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from strongroom.bundles.conversion.errors import ModelTooLarge, NotConvertible
from strongroom.bundles.engines import SAVED_MODEL_FILE
from strongroom.bundles.listing import below

PROTOBUF_LIMIT_BYTES: Final = 2**31 - 1  # of one message, so of a GraphDef and of an ONNX file
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_CHUNK_BYTES: Final = 1024 * 1024


class Kind(Enum):
    """The kinds of models that can be converted; the value is how messages name them."""

    FROZEN_GRAPH = "frozen GraphDef"
    SAVED_MODEL = "SavedModel"
    KERAS = "Keras file"
    KERAS_H5 = "Keras HDF5 file"


@dataclass(frozen=True, slots=True)
class Source:
    """A model to convert: its kind, and the file or folder it is."""

    kind: Kind
    path: Path

    def files(self) -> dict[str, Path]:
        """Return the files of the model by their names relative to it."""
        if self.kind is not Kind.SAVED_MODEL:
            return {self.path.name: self.path}
        return {path: self.path / path for path, information in below(self.path) if stat.S_ISREG(information.st_mode)}


def recognise(path: Path) -> Source:
    """Return what `path` is. Raises NotConvertible, ModelTooLarge."""
    if path.is_dir():
        return _recognise_folder(path)
    if path.name == SAVED_MODEL_FILE:
        return _recognise_folder(path.parent)
    with path.open("rb") as file:
        head = file.read(len(_HDF5))
    if head == _HDF5:
        return Source(Kind.KERAS_H5, path)
    if head.startswith(b"PK\x03\x04") and zipfile.is_zipfile(path):
        return Source(Kind.KERAS, path)
    if path.stat().st_size > PROTOBUF_LIMIT_BYTES:
        raise ModelTooLarge(f"{path} has {path.stat().st_size / 1e9:.1f} GB; a GraphDef is at most 2 GiB")
    return Source(Kind.FROZEN_GRAPH, path)


def _recognise_folder(path: Path) -> Source:
    if not (path / SAVED_MODEL_FILE).is_file():
        versions = sorted(child.name for child in path.iterdir() if (child / SAVED_MODEL_FILE).is_file())
        fix = f"Name a version's folder: {path / versions[-1]}." if versions else None
        raise NotConvertible(f"{path} holds no {SAVED_MODEL_FILE}", fix=fix)
    for name, information in below(path):
        if not stat.S_ISREG(information.st_mode) and not stat.S_ISDIR(information.st_mode):
            raise NotConvertible(f"{path / name} is a link, device or socket, not a file of the model",
                                 fix="Copy the model with cp -rL first.")  # fmt: skip
    return Source(Kind.SAVED_MODEL, path)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
