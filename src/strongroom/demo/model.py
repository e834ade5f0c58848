"""Keep the demo's model at hand: a servable folder in the user's cache, built once and checked each time it is used."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from strongroom.demo.network import build
from strongroom.demo.weights import WEIGHTS_SHA256, read_weights, weights_path

MODEL_NAME: Final = "efficientnet-lite0"
MODEL_VERSION: Final = 1
MODEL_FILE: Final = "model.onnx"
BUILDER: Final = 1  # raise it when `network` changes what it writes: caches of other builders are made anew


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return Strongroom's folder in the user's cache, as the XDG base directory specification places it."""
    root = environ.get("XDG_CACHE_HOME", "")
    base = Path(root) if root.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".cache"
    return base / "strongroom"


def servable(cache: Path) -> Path:
    """Return the folder of the servable version (it holds `model.onnx` alone), building it where needed.

    A cached model is used only when its digest is the one recorded when it was built from the pinned weights.
    Raises MissingExtra or BadWeights.
    """
    home = cache / "models" / MODEL_NAME
    folder, record = home / str(MODEL_VERSION), home / "built.json"
    if not _is_current(folder / MODEL_FILE, record):
        model = build(read_weights(weights_path()))
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / MODEL_FILE, model)
        _replace(record, json.dumps(_record(hashlib.sha256(model).hexdigest())).encode())
    return folder


def _record(digest: str) -> dict[str, object]:
    return {"builder": BUILDER, "weights_sha256": WEIGHTS_SHA256, "model_sha256": digest}


def _is_current(model: Path, record: Path) -> bool:
    try:
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        return bool(json.loads(record.read_bytes()) == _record(digest))
    except (OSError, ValueError):
        return False


def _replace(path: Path, data: bytes) -> None:
    """Write a file in one step: readers see the old bytes or the new ones, never a part."""
    handle, name = tempfile.mkstemp(dir=path.parent.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
