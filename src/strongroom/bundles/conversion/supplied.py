"""Inputs that the owner supplies for the comparison: numpy files, and pictures for models that take one.

World: reads one file. Nothing is unpickled. A picture is resized to what the model takes, values 0 to 255.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.bundles.conversion.errors import BadCheckInputs
from strongroom.bundles.conversion.random_inputs import numpy_type
from strongroom.bundles.conversion.signatures import ModelSignature, Port, Signatures, describe, show_shape

MAX_FILE_BYTES: Final = 2 * 1024**3
MAX_PIXELS: Final = 64 * 1024 * 1024
_PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


def read(path: Path, signatures: Signatures) -> dict[str, dict[str, NDArray[Any]]]:
    """Return the inputs in `path` by signature, for each that they fit. Raises BadCheckInputs if they fit none."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise BadCheckInputs(f"{path} is longer than {MAX_FILE_BYTES // 1024**3} GiB")
    if path.suffix.lower() in _PICTURES:
        return {name: _picture(path, signature) for name, signature in signatures.items()}
    arrays = _arrays(path)
    fitting = {
        name: {alias: _fitted(path, alias, port, arrays.get(alias, arrays.get(""))) for alias, port in asked.items()}
        for name, asked in ((name, signature.inputs) for name, signature in signatures.items())
        if set(arrays) == set(asked) or (set(arrays) == {""} and len(asked) == 1)
    }
    if not fitting:
        wanted = "; ".join(f"{name}: {describe(signature)}" for name, signature in signatures.items())
        raise BadCheckInputs(f"{path} holds {', '.join(sorted(arrays)) or 'one array'}; wanted is {wanted}")
    return fitting


def _arrays(path: Path) -> Mapping[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            return {"": content} if isinstance(content, np.ndarray) else {name: content[name] for name in content.files}
    except (ValueError, EOFError, KeyError, SyntaxError, OSError, zipfile.BadZipFile, zlib.error) as problem:
        raise BadCheckInputs(f"{path} is no .npz or .npy file of plain arrays: {str(problem)[:160]}") from None


def _fitted(path: Path, alias: str, port: Port, values: NDArray[Any] | None) -> NDArray[Any]:
    if values is None:
        raise BadCheckInputs(f"{path} has no array {alias!r}")
    if not _has_shape(values, port.shape):
        raise BadCheckInputs(
            f"{alias} in {path} has the shape {list(values.shape)}; wanted is {show_shape(port.shape)}"
        )
    if port.dtype == "string":
        flat = [item if isinstance(item, bytes) else str(item).encode() for item in values.ravel().tolist()]
        return np.array(flat, dtype=object).reshape(values.shape)
    wanted = numpy_type(port.dtype)
    if values.dtype != wanted and not np.can_cast(values.dtype, wanted, casting="same_kind"):
        raise BadCheckInputs(f"{alias} in {path} is {values.dtype}; wanted is {port.dtype}")
    return values.astype(wanted)


def _has_shape(values: NDArray[Any], shape: tuple[int, ...] | None) -> bool:
    if shape is None:
        return True
    sizes = zip(shape, values.shape, strict=False)
    return len(shape) == values.ndim and all(wanted in {-1, size} for wanted, size in sizes)


def _picture(path: Path, signature: ModelSignature) -> dict[str, NDArray[Any]]:
    port = next(iter(signature.inputs.values()))
    sizes = port.shape or ()
    if len(signature.inputs) != 1 or len(sizes) != 4 or sizes[3] != 3 or port.dtype not in {"float32", "uint8"}:
        fix = "Give arrays in an .npz file: the model takes no pictures [N,height,width,3]."
        raise BadCheckInputs(f"{path} is a picture; the model takes {describe(signature)}", fix=fix)
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadCheckInputs(f"{path} has more than {MAX_PIXELS} pixels")
            height = sizes[1] if sizes[1] > 0 else image.height
            width = sizes[2] if sizes[2] > 0 else image.width
            pixels = np.asarray(image.convert("RGB").resize((width, height)))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise BadCheckInputs(f"{path} is no picture that can be read: {str(problem)[:160]}") from None
    return {next(iter(signature.inputs)): pixels[np.newaxis].astype(port.dtype)}
