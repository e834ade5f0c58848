"""What a record holds once it is decoded, and what its result is before it is encoded. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from strongroom.clusterserving.faults import ServingError
from strongroom.secret import Secret

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def view(data: bytes | memoryview, dtype: np.dtype[Any], count: int, offset: int = 0) -> Array:
    """Return numbers in `data` as a view, or as a copy where they lie at a place that is odd for their type."""
    found = np.frombuffer(data, dtype, count, offset)
    return found if found.flags.aligned else found.copy()


@dataclass(frozen=True, slots=True)
class Image:
    """An encoded image: JPEG, PNG, whatever the worker's decoder reads."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Strings:
    """A tensor of one dimension whose elements are text."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """A sparse tensor: `indices` int32 [nnz, rank], `values` float32 [nnz], and the dense shape."""

    indices: Array
    values: Array
    shape: tuple[int, ...]


Input: TypeAlias = "Array | Image | Strings | Sparse"
Inputs: TypeAlias = Mapping[str, Input]  # in the order of the record's columns
Outputs: TypeAlias = Mapping[str, Array]  # of one record, in the model's order


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One request as a worker has it. `instances`: one for all forms but JSON, which may hold several.

    `deadline_ms`: milliseconds since 1970 by Redis' clock. `reply`: the list that is told of the result. `accept_raw`:
    the client reads raw results. `response_key`: seals the result where the record was sealed.
    """

    entry_id: str
    uri: str
    instances: tuple[Inputs, ...]
    reply: str | None = None
    deadline_ms: int | None = None
    accept_raw: bool = False
    response_key: Secret | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One result as a client has it: the outputs by name where the worker said them, else `output_0` and so on.

    `text` is what a post-processing filter wrote (`topN`), and `error` why there is no prediction.
    """

    uri: str
    entry_id: str | None = None
    outputs: Outputs = field(default_factory=dict)
    text: str | None = None
    error: ServingError | None = None
