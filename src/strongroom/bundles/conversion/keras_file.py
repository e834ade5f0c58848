"""A Keras file as a model: looked at, opened in safe mode, exported as Keras itself would, and run by Keras.

World: reads one file; writes a SavedModel into a folder handed in. The exported SavedModel is what gets converted, and
the Keras model is what results are compared with.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.bundles.conversion import keras_config, loaded, tools
from strongroom.bundles.conversion.errors import ConversionUnproved, ModelRunsCode, ModelTooLarge, NotConvertible
from strongroom.bundles.conversion.signatures import SERVING_DEFAULT
from strongroom.bundles.conversion.source import Kind, Source

MAX_CONFIGURATION_BYTES: Final = 64 * 1024 * 1024
MAX_UNPACKED_BYTES: Final = 64 * 1024**3
_MEMBERS: Final = ("metadata.json", "config.json", "model.weights.h5")


@contextmanager
def open_keras(source: Source, folder: Path) -> Iterator[tuple[loaded.Loaded, Any]]:
    """Lend the model as exported to `folder` (a SavedModel), and the Keras model itself."""
    configuration = _configuration(source)
    if isinstance(configuration, dict):
        configuration.pop("compile_config", None)  # losses and metrics, which are not loaded
    keras_config.check_configuration(configuration)
    keras = tools.keras()
    with tools.quiet():
        try:
            model = keras.saving.load_model(str(source.path), compile=False, safe_mode=True)
            model.export(str(folder), format="tf_saved_model", verbose=False)
        except Exception as problem:  # noqa: BLE001  # Keras raises whatever its layers raise
            raise NotConvertible(f"{source.path} cannot be opened with Keras: {loaded.first_line(problem)}") from None
    with loaded.saved_model(folder) as exported:
        only = {SERVING_DEFAULT: exported.signatures[SERVING_DEFAULT]}  # Keras writes it twice, also as `serve`
        yield loaded.Loaded(exported.graph, exported.session, only), model


def run(model: Any, inputs: loaded.Arrays) -> dict[str, NDArray[Any]]:  # noqa: ANN401  # a Keras model
    """Return the outputs of the Keras model itself, under the aliases that its export gives them."""
    tree = tools.keras().tree
    names = [tensor.name for tensor in model.inputs]
    values = [inputs[name] for name in names] if set(names) == set(inputs) else list(inputs.values())
    tensors = [tools.tensorflow().convert_to_tensor(value) for value in values]
    with tools.quiet():
        try:
            answer = model(tree.pack_sequence_as(model.input, tensors), training=False)
        except Exception as problem:  # noqa: BLE001
            raise ConversionUnproved(f"the Keras model does not run: {loaded.first_line(problem)}") from None
    if isinstance(answer, dict):
        return {alias: np.asarray(value) for alias, value in answer.items()}
    return {f"output_{index}": np.asarray(value) for index, value in enumerate(tree.flatten(answer))}


def _configuration(source: Source) -> Any:  # noqa: ANN401  # JSON
    read = _configuration_of_h5 if source.kind is Kind.KERAS_H5 else _configuration_of
    try:
        return read(source.path)
    except (
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        KeyError,
        ValueError,
    ) as problem:
        raise NotConvertible(f"{source.path} is damaged: {loaded.first_line(problem)}") from None


def _configuration_of(path: Path) -> Any:  # noqa: ANN401  # JSON
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if not set(_MEMBERS) <= members.keys():
            raise NotConvertible(f"{path} is an archive, but no Keras model: it lacks one of {', '.join(_MEMBERS)}")
        if sum(member.file_size for member in members.values()) > MAX_UNPACKED_BYTES:
            raise ModelTooLarge(f"{path} unpacks to more than {MAX_UNPACKED_BYTES // 1024**3} GiB")
        for name in members:
            if name.startswith(("/", "\\")) or ".." in name.split("/"):
                raise ModelRunsCode(f"{path} names a file outside itself: {name[:80]!r}")
        if members["config.json"].file_size > MAX_CONFIGURATION_BYTES:
            raise ModelTooLarge(f"the configuration in {path} is longer than {MAX_CONFIGURATION_BYTES} bytes")
        _check_links(archive)
        return _parsed(path, archive.read("config.json"))


def _check_links(archive: zipfile.ZipFile) -> None:
    h5py = tools.h5py()

    with archive.open("model.weights.h5") as weights, h5py.File(weights, "r") as file:
        _check_no_links(file)


def _configuration_of_h5(path: Path) -> Any:  # noqa: ANN401
    h5py = tools.h5py()

    with h5py.File(path, "r") as file:
        _check_no_links(file)
        text = file.attrs.get("model_config")
    if text is None:
        raise NotConvertible(f"{path} holds weights without a model", fix="Save the whole model: model.save(FILE).")
    return _parsed(path, text)


def _parsed(path: Path, text: Any) -> Any:  # noqa: ANN401
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise NotConvertible(f"the configuration in {path} is not JSON") from None


def _check_no_links(file: Any) -> None:  # noqa: ANN401  # an HDF5 file
    """Refuse links out of an HDF5 file, and data that it keeps in others."""
    h5py = tools.h5py()

    waiting = [file]
    while waiting:
        group = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ModelRunsCode(f"the weights lead elsewhere at {name[:80]!r}: a link in the HDF5 file")
            child = group[name]
            if isinstance(child, h5py.Group):
                waiting.append(child)
            elif isinstance(child, h5py.Dataset) and (child.external or child.is_virtual):
                raise ModelRunsCode(f"the weights lead elsewhere at {name[:80]!r}: data in another file")
