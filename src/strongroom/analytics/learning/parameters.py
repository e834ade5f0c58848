"""Parameters of a model on their way between the tasks of a job: as bytes, as texts for allGather, as their mean. Pure.

Tasks exchange texts (`BarrierTaskContext.allGather`), and Spark answers each task with everybody's texts in one
message, which may have 128 MiB (`spark.rpc.message.maxSize`): large models go in several pieces.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import BadInput

MAX_MESSAGE_CHARS: Final = 64 * 1024 * 1024  # everybody's texts in one message
_KIND: Final = np.dtype("<f4")
Arrays = list[NDArray[Any]]
Shapes = Sequence[tuple[int, ...]]


class BadParameters(BadInput):
    """Parameters that a task sent are not those of the model that is being trained."""

    code = "SR-LEARN-PARAMETERS"
    fix = "Run the same program and the same version of Strongroom on the driver and on every executor."


def to_bytes(arrays: Sequence[NDArray[Any]]) -> bytes:
    """Return parameters as 32-bit numbers, one array after the other."""
    return b"".join(np.ascontiguousarray(array, dtype=_KIND).tobytes() for array in arrays)


def from_bytes(data: bytes, shapes: Shapes) -> Arrays:
    """Return the arrays of these shapes. Raises BadParameters unless they fill the bytes exactly."""
    sizes = [int(np.prod(shape, dtype=np.int64)) for shape in shapes]
    if len(data) != sum(sizes) * _KIND.itemsize:
        raise BadParameters(f"{len(data)} bytes of parameters came, the model has {sum(sizes) * _KIND.itemsize}")
    flat = np.frombuffer(data, dtype=_KIND)
    ends = np.cumsum(sizes)
    return [flat[end - size : end].reshape(shape) for end, size, shape in zip(ends, sizes, shapes, strict=True)]


def pieces(samples: int, data: bytes, *, tasks: int) -> list[str]:
    """Return the texts in which a task sends its parameters, learned from so many samples, one text a gathering."""
    text = base64.b64encode(samples.to_bytes(8, "big") + data).decode()
    length = max(MAX_MESSAGE_CHARS // tasks, 1)
    return [text[start : start + length] for start in range(0, len(text), length)]


def joined(sent: Sequence[str]) -> tuple[int, bytes]:
    """Return the samples and the parameters that one task sent in pieces. Raises BadParameters."""
    try:
        data = base64.b64decode("".join(sent), validate=True)
    except (binascii.Error, ValueError):
        raise BadParameters("a task sent no base64") from None
    if len(data) < 8:
        raise BadParameters("a task sent no parameters")
    return int.from_bytes(data[:8], "big"), data[8:]


def mean(sent: Sequence[tuple[int, bytes]], shapes: Shapes) -> Arrays | None:
    """Return the mean, each task weighing as many samples as it saw; None if none saw any. Raises BadParameters."""
    total = sum(samples for samples, _ in sent)
    if total == 0:
        return None
    summed = [np.zeros(shape, dtype=np.float64) for shape in shapes]
    for samples, data in sent:
        for place, array in enumerate(from_bytes(data, shapes)):
            summed[place] += array * (samples / total)
    return [array.astype(_KIND) for array in summed]
