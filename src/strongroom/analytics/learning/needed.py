"""Keras, TensorFlow and tf2onnx, imported when something is learned and kept quiet.

World: importing them takes seconds and half a gigabyte, so nothing imports them at start-up.
"""

from __future__ import annotations

import importlib
import logging
import os
from typing import Any

from strongroom.errors import BadInput

_QUIET = ("tensorflow", "tf2onnx", "absl", "keras")


class LearningNotInstalled(BadInput):
    """A library that the learning needs is not installed where it runs."""

    code = "SR-LEARN-EXTRA"
    fix = (
        "For the driver and on every executor, in a clone of Strongroom: make setup-all. "
        "Elsewhere: pip install 'strongroom[analytics,tensorflow]'."
    )


def keras() -> Any:  # noqa: ANN401  # the package has no types
    """Return Keras, computing with TensorFlow on processors. Raises LearningNotInstalled."""
    tensorflow()
    return _found("keras")


def tensorflow(threads: int | None = None) -> Any:  # noqa: ANN401
    """Return TensorFlow; `threads` for one operation, as long as it has not begun. Raises LearningNotInstalled."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    tf = _found("tensorflow")
    if threads is not None and tf.config.threading.get_intra_op_parallelism_threads() == 0:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


def tf2onnx() -> Any:  # noqa: ANN401
    """Return tf2onnx. Raises LearningNotInstalled."""
    tensorflow()
    return _found("tf2onnx")


def _found(name: str) -> Any:  # noqa: ANN401
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as problem:
        raise LearningNotInstalled(f"{problem.name} is not installed") from None
    for logger in _QUIET:
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    return module
