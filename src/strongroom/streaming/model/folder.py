"""Which model lies in `modelPath`: seen from file names, exactly one, or an error that says what is there instead.

World: lists one folder. Source: spec `cluster-serving.md` section 8. A flat folder has one model's files under any
name; a sealed bundle is what `model publish` wrote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from strongroom.bundles.manifest import MANIFEST, SIGNATURE
from strongroom.errors import BadInput
from strongroom.serving.engines import FolderFiles, ModelFiles

MAX_ENTRIES: Final = 1000  # of a folder that is looked at
FORMS: Final = "*.onnx, *.xml with *.bin (OpenVINO), saved_model.pb with variables/, or a sealed bundle (bundle.json)"
_SUFFIXES: Final = (
    ".onnx", ".xml", ".bin", ".pb", ".pt", ".pth", ".caffemodel", ".prototxt", ".model", ".keras", ".h5",
)  # fmt: skip


class Form(StrEnum):
    """What a model folder holds; the value is the engine that plain models are for."""

    SEALED = "auto"
    ONNX = "onnx"
    OPENVINO = "openvino"
    SAVED_MODEL = "tensorflow"


class NotOneModel(BadInput):
    """A model folder (modelPath) holds no model, more than one, or half of one."""

    code = "SR-QUEUE-MODEL-FOLDER"
    fix = f"Put exactly one model there: {FORMS}."


class FormNotServed(BadInput):
    """A model folder (modelPath) holds a model in a form that has to be converted first."""

    code = "SR-QUEUE-MODEL-FORM"
    fix = "Convert the model to ONNX on the owner's machine."


@dataclass(frozen=True, slots=True)
class Found:
    """A model folder. `names`: the file that an engine asks for, and what it is called here."""

    form: Form
    folder: Path
    names: Mapping[str, str] = field(default_factory=dict)

    def files(self) -> ModelFiles:
        """Return the files as engines ask for them."""
        if all(asked == here for asked, here in self.names.items()):
            return FolderFiles(self.folder)
        return RenamedFiles(self.folder, self.names)

    def digest(self) -> str:
        """Return SHA-256 (hex) over the names and contents of the model's files, or of a bundle's manifest."""
        files = FolderFiles(self.folder)
        if self.form is Form.SEALED:
            return hashlib.sha256(files.read(MANIFEST)).hexdigest()
        paths = files.paths if self.form is Form.SAVED_MODEL else sorted(self.names.values())
        whole = hashlib.sha256()
        for path in paths:
            content = hashlib.sha256()
            for chunk in files.chunks(path):
                content.update(chunk)
            whole.update(f"{content.hexdigest()}  {path}\n".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()


class RenamedFiles:
    """A flat folder's files under the names that engines ask for; engines read them, they get no folder."""

    folder: Path | None = None

    def __init__(self, folder: Path, names: Mapping[str, str]) -> None:
        self._names, self._files = dict(names), FolderFiles(folder)

    @property
    def paths(self) -> Sequence[str]:
        """The names that engines ask for, sorted."""
        return sorted(self._names)

    def read(self, path: str) -> bytes:
        """Return a whole file. Raises FileTooLong or OSError."""
        return self._files.read(self._here(path))

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield a file piece by piece. Raises OSError."""
        return self._files.chunks(self._here(path))

    def _here(self, path: str) -> str:
        if path not in self._names:
            raise FileNotFoundError(path)
        return self._names[path]


def find_model(folder: Path) -> Found:
    """Return the one model that a folder holds. Raises NotOneModel or FormNotServed, which list what is there."""
    files, folders = _listed(folder)
    if MANIFEST in files or SIGNATURE in files:
        return Found(Form.SEALED, folder)
    models = [name for name in files if name.lower().endswith(_SUFFIXES)]
    by = {suffix: [name for name in models if name.lower().endswith(suffix)] for suffix in _SUFFIXES}
    if not models:
        raise NotOneModel(f"{folder} holds no model; there is {_listing(files, folders)}, and known is {FORMS}")
    pairs = _pairs(folder, by, models)
    singles = [name for suffix in (".onnx", ".pb", ".pt", ".pth", ".model", ".keras", ".h5") for name in by[suffix]]
    if len(pairs) + len(singles) > 1:
        raise NotOneModel(f"{folder} holds more than one model: {_listing(models)}")
    if pairs:
        return _pair(folder, *pairs[0])
    return _single(folder, singles[0], folders)


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of a folder's files and folders, sorted."""
    files: list[str] = []
    folders: list[str] = []
    try:
        for number, entry in enumerate(folder.iterdir()):
            if number == MAX_ENTRIES:
                raise NotOneModel(f"{folder} holds more than {MAX_ENTRIES} entries")
            (folders if entry.is_dir() else files).append(entry.name)
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        raise NotOneModel(f"the model folder {folder} cannot be read: {reason}") from None
    return sorted(files), sorted(folders)


def _pairs(folder: Path, by: Mapping[str, Sequence[str]], models: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of a description and weights. Raises NotOneModel for halves."""
    found = []
    for description, weights, what in ((".xml", ".bin", "OpenVINO"), (".prototxt", ".caffemodel", "Caffe")):
        if len(by[description]) != len(by[weights]):
            raise NotOneModel(
                f"{folder} holds half of a pair: {what} needs one *{description} and one *{weights}, "
                f"there is {_listing(models)}"
            )
        found += list(zip(by[description], by[weights], strict=True))
    return found


def _pair(folder: Path, description: str, weights: str) -> Found:
    if description.lower().endswith(".prototxt"):
        raise FormNotServed(
            f"{description} and {weights} are a Caffe model",
            fix="Convert it to ONNX (caffe2onnx, or OpenVINO 2023's mo and then *.xml with *.bin), and serve that.",
        )
    return Found(Form.OPENVINO, folder, {"model.xml": description, "model.bin": weights})


def _single(folder: Path, name: str, folders: Sequence[str]) -> Found:
    suffix = name.lower().rpartition(".")[2]
    if suffix == "onnx":
        return Found(Form.ONNX, folder, {"model.onnx": name})
    if suffix == "pb" and (name == "saved_model.pb" or "variables" in folders):
        if name != "saved_model.pb":
            raise NotOneModel(f"{folder} has variables/ beside {name}: a SavedModel's graph is called saved_model.pb")
        return Found(Form.SAVED_MODEL, folder, {"saved_model.pb": name})
    what, fix = _ROUTES[suffix]
    raise FormNotServed(f"{name} is {what}", fix=fix)


_CONVERT: Final = "Convert it: strongroom model convert --import_path FILE --export_dir DIR --format onnx."
_ROUTES: Final = {
    "pb": ("a frozen TensorFlow graph (there is no variables/ beside it)", _CONVERT),
    "keras": ("a Keras model", _CONVERT),
    "h5": ("a Keras model", _CONVERT),
    "pt": ("a TorchScript model", "Export it to ONNX with torch.onnx.export, and serve the *.onnx."),
    "pth": ("a PyTorch model", "Export it to ONNX with torch.onnx.export, and serve the *.onnx."),
    "model": ("a BigDL model", "Save it as a TensorFlow model (saveTF) and convert that: strongroom model convert."),
}


def _listing(*names: Sequence[str]) -> str:
    every = [name for group in names for name in group]
    more = f" and {len(every) - 20} more" if len(every) > 20 else ""
    return (", ".join(every[:20]) or "nothing") + more
