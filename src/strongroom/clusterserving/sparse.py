"""Sparse tensors: their checks, and their dense form. Pure. Source: spec `cluster-serving.md` section 3.2."""

from __future__ import annotations

import math

import numpy as np

from strongroom.clusterserving.faults import BadRecord, TooLarge
from strongroom.clusterserving.limits import Limits, countable
from strongroom.clusterserving.values import Array, Sparse


def checked(indices: Array, values: Array, shape: tuple[int, ...], *, name: str, limits: Limits) -> Sparse:
    """Return a sparse tensor with int32 indices [nnz, rank] and float32 values [nnz].

    Raises BadRecord for counts that do not fit each other, an index beyond the shape or one that comes twice, and
    TooLarge for a shape whose dense form would be larger than a record may be.
    """
    if indices.ndim != 2 or values.ndim != 1 or indices.shape != (len(values), len(shape)):
        raise BadRecord(
            f"{name}: indices {indices.shape} and {values.size} values are no sparse tensor of rank {len(shape)}"
        )
    if not 1 <= len(shape) <= limits.max_rank or any(each < 0 for each in shape):
        raise BadRecord(f"{name}: a sparse tensor has 1 to {limits.max_rank} dimensions, none of them negative")
    if math.prod(shape) * 4 > limits.max_record_bytes or not countable(shape):
        raise TooLarge(f"{name}: its dense form has more than {limits.max_record_bytes} bytes")
    if len(values):
        _check_indices(indices.astype(np.int64), shape, name)
    return Sparse(
        indices=indices.astype(np.int32, copy=False), values=values.astype(np.float32, copy=False), shape=shape
    )


def _check_indices(indices: Array, shape: tuple[int, ...], name: str) -> None:
    if (indices < 0).any() or (indices >= np.array(shape, np.int64)).any():
        raise BadRecord(f"{name}: an index is beyond the shape {list(shape)}")
    places = np.ravel_multi_index(tuple(indices.T), shape)
    if len(np.unique(places)) != len(places):
        raise BadRecord(f"{name}: an index comes twice")


def dense(tensor: Sparse) -> Array:
    """Return a checked sparse tensor as a dense float32 array."""
    made = np.zeros(tensor.shape, np.float32)
    if len(tensor.values):
        made[tuple(tensor.indices.T)] = tensor.values
    return made
