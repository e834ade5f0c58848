"""Inputs of several requests to one, outputs of one run to several. Pure.

Source: spec `model-server.md` section 6: dimension 0 is joined and split; rows that fill a batch up are never returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from strongroom.serving.status import NotSplittable
from strongroom.tfserving.datatypes import Array


def join(parts: Sequence[Mapping[str, Array]], rows: int) -> dict[str, Array]:
    """Return the inputs of all parts one below the other, filled up to `rows` rows.

    Inner sizes that differ grow to the largest one, with zeros or empty strings. Rows that fill up repeat the first
    row, which is known to be one that the model takes; its results are cut off by `split`.
    """
    joined = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        if len({array.shape[1:] for array in arrays}) > 1:
            arrays = _padded(arrays)
        missing = rows - sum(map(len, arrays))
        if missing > 0:
            arrays.append(np.repeat(arrays[0][:1], missing, axis=0))
        joined[name] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    return joined


def _padded(arrays: Sequence[Array]) -> list[Array]:
    inner = tuple(max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True))
    wide = []
    for array in arrays:
        grown = np.zeros((len(array), *inner), array.dtype)
        if array.dtype.kind == "O":
            grown.fill(b"")
        grown[tuple(slice(size) for size in array.shape)] = array
        wide.append(grown)
    return wide


def split(outputs: Mapping[str, Array], sizes: Sequence[int], rows: int) -> list[dict[str, Array]]:
    """Return each request's rows of a run over `rows` rows; rows after the last request are left out.

    Raises NotSplittable unless every output has exactly `rows` rows.
    """
    for array in outputs.values():
        if array.ndim == 0:
            raise NotSplittable("Batched output tensor has 0 dimensions")
        if array.shape[0] != rows:
            raise NotSplittable(
                f"Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                f"tensors: {array.shape[0]} vs. {rows}"
            )
    parts, start = [], 0
    for size in sizes:
        stop = start + size
        parts.append({name: array[start:stop] for name, array in outputs.items()})
        start = stop
    return parts


def cut(inputs: Mapping[str, Array], size: int) -> list[dict[str, Array]]:
    """Return the inputs of a large request in pieces of `size` rows; the last one has what is left."""
    rows = len(next(iter(inputs.values())))
    return [{name: array[start : start + size] for name, array in inputs.items()} for start in range(0, rows, size)]


def together(parts: Sequence[Mapping[str, Array]], *, padded: bool = False) -> dict[str, Array]:
    """Return the outputs of a large request's pieces one below the other; `padded`: their inner sizes may differ.

    Raises NotSplittable.
    """
    joined = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        try:
            joined[name] = np.concatenate(_padded(arrays) if padded else arrays)
        except ValueError:
            raise NotSplittable("the outputs of a large request's pieces do not have the same inner shape") from None
    return joined
