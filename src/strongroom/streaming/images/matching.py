"""A record's inputs against a model's signature: names, then shapes, then types. Pure.

Names as in spec section 5: by name where they match as a set; else by order where there are as many and the
configuration is not strict. Numbers come as float32 from most clients, so a model of whole numbers gets them as such
where they are whole, and an error where they are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import numpy as np

from strongroom.clusterserving.faults import BadInputNames, DtypeMismatch, ShapeMismatch
from strongroom.clusterserving.values import Array, Sparse
from strongroom.tfserving.datatypes import STORAGE, DataType
from strongroom.tfserving.signatures import Signature, TensorSpec

MAX_DENSE_ELEMENTS: Final = 16 * 1024 * 1024  # what a sparse tensor may unfold to: 64 MiB of float32
_T = TypeVar("_T")


def by_name(inputs: Mapping[str, _T], signature: Signature, *, strict: bool) -> dict[str, _T]:
    """Return inputs under the model's names, in its order. Raises BadInputNames."""
    wanted = signature.inputs
    missing = wanted.keys() - inputs.keys()
    if not inputs.keys() - wanted.keys() and missing <= signature.defaults.keys():
        return {name: inputs[name] for name in wanted if name in inputs}
    if strict or len(inputs) != len(wanted):
        raise BadInputNames(
            f"the record has the inputs {_listed(inputs)}; the model takes {_listed(wanted)}"
            + (", by these names" if len(inputs) == len(wanted) else "")
        )
    return dict(zip(wanted, inputs.values(), strict=True))


def fitted(name: str, value: Array, spec: TensorSpec, *, batched: bool) -> Array:
    """Return an array with its batch dimension, of the model's rank and type. Raises ShapeMismatch, DtypeMismatch."""
    shaped = value if batched or value.shape == spec.shape else _with_batch(value, spec)
    if spec.shape is not None and not _fits(shaped.shape, spec.shape):
        raise ShapeMismatch(
            f"input {name[:64]!r} has the shape {_shape(value.shape)}"
            f"{'' if batched else ' without a batch'}; the model takes {_shape(spec.shape)}"
        )
    return typed(name, shaped, spec.dtype)


def _with_batch(value: Array, spec: TensorSpec) -> Array:
    """Return an array with a batch of one before it; one number for a model that takes one a row is that row."""
    if spec.shape is not None and len(spec.shape) == 1 and value.shape == (1,):
        return value
    return value[None]


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(each in {size, -1} for size, each in zip(shape, wanted, strict=True))


def typed(name: str, value: Array, dtype: DataType) -> Array:
    """Return an array in the model's type. Raises DtypeMismatch where values would change."""
    if (dtype is DataType.DT_STRING) != (value.dtype.kind in "OSU"):
        kind = "text" if value.dtype.kind in "OSU" else "numbers"
        raise DtypeMismatch(f"input {name[:64]!r} holds {kind}, and the model takes {dtype.word}")
    if dtype is DataType.DT_STRING:
        return _as_bytes(value)
    wanted = STORAGE[dtype].dtype
    if value.dtype == wanted:
        return value
    if wanted.kind in "fc":
        return value.astype(wanted)
    return _whole(name, value, wanted, dtype)


def _whole(name: str, value: Array, wanted: np.dtype[Any], dtype: DataType) -> Array:
    with np.errstate(invalid="ignore"):  # NaN and what is out of range do not come back as they were
        found = value.astype(wanted)
        same = np.array_equal(found.astype(value.dtype), value)
    if not same:
        raise DtypeMismatch(f"input {name[:64]!r} has values that are no {dtype.word}")
    return found


def _as_bytes(value: Array) -> Array:
    found = np.empty(value.shape, object)
    found.ravel()[:] = [each.encode() if isinstance(each, str) else bytes(each) for each in value.ravel()]
    return found


def dense(name: str, value: Sparse) -> Array:
    """Return a sparse tensor unfolded. Raises ShapeMismatch for one that would be too large."""
    size = 1
    for each in value.shape:
        size *= each
    if size > MAX_DENSE_ELEMENTS:
        raise ShapeMismatch(f"input {name[:64]!r} would unfold to more than {MAX_DENSE_ELEMENTS} numbers")
    found = np.zeros(value.shape, value.values.dtype)
    found[tuple(value.indices.T)] = value.values
    return found


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(repr(each[:64]) for each in list(names)[:8]) + (" …" if len(names) > 8 else "")


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ",".join("?" if each == -1 else str(each) for each in shape) + "]"
