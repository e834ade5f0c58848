"""TensorFlow, Keras and tf2onnx, imported when a conversion runs and kept quiet.

World: importing them takes seconds and half a gigabyte, so nothing imports this at start-up. Only the processor is
used; Keras computes with TensorFlow whatever the user's environment names.
"""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_QUIET = ("tensorflow", "tf2onnx", "absl", "h5py", "keras")


def tensorflow() -> Any:  # noqa: ANN401  # the package has no types
    """Return TensorFlow."""
    _prepare()
    import tensorflow as tf

    _hush()
    return tf


def keras() -> Any:  # noqa: ANN401
    """Return Keras on TensorFlow."""
    tensorflow()
    import keras as package

    _hush()
    return package


def h5py() -> Any:  # noqa: ANN401
    """Return the HDF5 library that Keras brings."""
    return importlib.import_module("h5py")  # it has no types, and is no dependency of ours


def tf2onnx() -> Any:  # noqa: ANN401
    """Return tf2onnx with the modules that a conversion needs."""
    tensorflow()
    import tf2onnx.optimizer
    import tf2onnx.tf_loader
    import tf2onnx.tfonnx

    _hush()
    return tf2onnx


@contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings about TensorFlow's own deprecations from the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _prepare() -> None:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # plain kernels: the reference, and no notice about the others


def _hush() -> None:
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
