"""Where TensorFlow reads a SavedModel from: the folder it lies in, or its own file system in memory (`ram://`).

A sealed model's plaintext goes from the bundle into memory that this process owns, and never to a disk. The files are
removed as soon as the session holds what they said: variables are restored and assets are read while loading.
Decision: docs/decisions/0011-saved-models-load-from-memory.md.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from strongroom.serving.engines.files import ModelFiles


@contextmanager
def saved_model_place(tf: Any, files: ModelFiles) -> Iterator[str]:  # noqa: ANN401  # a lazy module
    """Lend a path that TensorFlow can load from."""
    if files.folder is not None:
        yield str(files.folder)
        return
    place = f"ram://strongroom-{uuid.uuid4().hex}"
    written: list[str] = []
    try:
        for path in files.paths:
            written.append(f"{place}/{path}")
            with tf.io.gfile.GFile(written[-1], "wb") as target:
                for chunk in files.chunks(path):
                    target.write(chunk)
        yield place
    finally:
        for path in written:
            if tf.io.gfile.exists(path):
                tf.io.gfile.remove(path)
