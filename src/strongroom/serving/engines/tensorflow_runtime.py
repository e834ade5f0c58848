"""TensorFlow, imported when the first of its models is loaded: on the CPU, without Keras, without a word.

The import takes seconds and hundreds of megabytes, so nothing else in Strongroom may import it in a server. Its
variables are read once, when its libraries initialise. Source: spec `model-server.md` section 10.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

from strongroom.serving.engines.base import EngineMissing

_ENVIRONMENT: Final = {
    "TF_CPP_MIN_LOG_LEVEL": "3",  # its log names nodes of the model
    "CUDA_VISIBLE_DEVICES": "-1",  # no search for a GPU
    "TF_ENABLE_DEPRECATION_WARNINGS": "0",
}
_NOISE: Final = (b"oneDNN custom operations are on", b"All log messages before absl::InitializeLog()")
_KERAS: Final = "keras"
_KERAS_HOME: Final = "KERAS_HOME"
_MAX_LINE: Final = 64 * 1024
_importing: Final = threading.Lock()


def tensorflow() -> Any:  # noqa: ANN401  # TensorFlow's own types are not those of its lazy modules
    """Return the module `tensorflow`. Raises EngineMissing."""
    with _importing:
        return _imported()


def _imported() -> ModuleType:
    if importlib.util.find_spec("tensorflow") is None:
        raise EngineMissing(
            "the model is a TensorFlow SavedModel and TensorFlow is not installed",
            fix="In a clone of Strongroom: make setup-all. Elsewhere: pip install 'strongroom[tensorflow]'",
        )
    os.environ.update(_ENVIRONMENT)
    with _without_notices(), _without_keras():
        module = importlib.import_module("tensorflow")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return module


@contextmanager
def _without_keras() -> Iterator[None]:
    """Keep Keras out of the import, which TensorFlow does without where it is not installed.

    A graph needs none of it; importing it draws in whatever it finds, plots included, and even the part of it that lies
    inside TensorFlow writes a file below the user's home, or where KERAS_HOME says.
    """
    if _KERAS in sys.modules:
        yield
        return
    home = os.environ.get(_KERAS_HOME)
    sys.modules[_KERAS] = None  # type: ignore[assignment]  # the documented way to make an import fail
    os.environ[_KERAS_HOME] = os.devnull  # no folder: nothing can be written there, and nothing is
    try:
        yield
    finally:
        del sys.modules[_KERAS], os.environ[_KERAS_HOME]
        if home is not None:
            os.environ[_KERAS_HOME] = home


@contextmanager
def _without_notices() -> Iterator[None]:
    """Drop the lines that the libraries print before their log level holds; every other line goes on as it is."""
    kept = os.dup(2)
    reading, writing = os.pipe()
    filtering = threading.Thread(target=_filter, args=(reading, kept), name="TensorFlow's notices", daemon=True)
    filtering.start()
    os.dup2(writing, 2)
    os.close(writing)
    try:
        yield
    finally:
        os.dup2(kept, 2)  # the pipe's last writer goes: the thread sees its end
        filtering.join()
        os.close(kept)


def _filter(reading: int, kept: int) -> None:
    with os.fdopen(reading, "rb") as source:
        while line := source.readline(_MAX_LINE):
            if not any(noise in line for noise in _NOISE):
                os.write(kept, line)
