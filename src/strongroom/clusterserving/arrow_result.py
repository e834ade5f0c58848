"""Results as the original writes them: an Arrow stream with one record batch for each output tensor. Pure.

A batch has as many rows as the tensor has elements: `data` in all of them, `shape` in the first ones. So a tensor of
more dimensions than elements loses its last dimensions; whoever writes says the shapes beside it (field `shapes`).
Source: spec `cluster-serving.md` section 3.3.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from strongroom.clusterserving.arrow_lists import Arrays
from strongroom.clusterserving.arrow_request import as_float32
from strongroom.clusterserving.arrow_wire import END, Schema, read_stream, write_batch
from strongroom.clusterserving.faults import BadRecord
from strongroom.clusterserving.limits import DEFAULT_LIMITS, Limits, countable
from strongroom.clusterserving.values import Array

# Columns `data: float32` and `shape: int32`, as pyarrow 26 spells the schema.
_SCHEMA: Final = bytes.fromhex(
    "ffffffffb00000001000000000000a000c000600050008000a000000000104000c00000008000800000004000800000004000000020000005000"
    "000004000000c8ffffff00000102100000002000000004000000000000000500000073686170650000000800"
    "0c0008000700080000000000000120000000100014000800060007000c00000010001000000000000103100000001c0000000400000000000000"
    "040000006461746100000600080006000600000000000100"
)


def encode_result(outputs: Sequence[Array]) -> bytes:
    """Return outputs as an Arrow stream; numbers become float32. Raises BadRecord for arrays of text."""
    pieces: list[bytes | memoryview] = [_SCHEMA]
    for output in outputs:
        numbers, count = as_float32(output), output.size
        said = min(output.ndim, count)
        shape = struct.pack(f"<{said}i", *output.shape[:said]) + bytes(4 * (count - said))
        bits = ((1 << said) - 1).to_bytes((count + 7) // 8, "little") if said < count else b""
        pieces += write_batch(count, (count, 0, count, count - said), [b"", numbers.tobytes(), bits, shape])
    return b"".join((*pieces, END))


def decode_result(
    data: bytes, *, shapes: Sequence[Sequence[int]] | None = None, limits: Limits = DEFAULT_LIMITS
) -> list[Array]:
    """Read a result, whoever wrote it: `shapes` where the writer said them, else what the batches say.

    Without `shapes`, nulls and zeros among the dimensions are left out. Raises BadRecord.
    """
    schema, batches = read_stream(data, max_batches=limits.max_columns)
    if sorted(field.name for field, *_ in schema.columns) != ["data", "shape"]:
        raise BadRecord("a result has the columns data and shape")
    if shapes is not None and len(shapes) != len(batches):
        raise BadRecord(f"the result has {len(batches)} outputs and {len(shapes)} shapes")
    found = []
    for index, batch in enumerate(batches):
        arrays = Arrays(data, batch)
        numbers = _numbers(arrays, schema, "data")
        shape = tuple(shapes[index]) if shapes is not None else _shape(arrays, schema, limits)
        if len(shape) > limits.max_rank or any(each < 0 for each in shape) or math.prod(shape) != numbers.size:
            if shapes is not None or shape or numbers.size:
                raise BadRecord(f"{numbers.size} values do not fill the shape {list(shape)[: limits.max_rank]}")
            shape = (0,)
        if not countable(shape):
            raise BadRecord(f"the shape {list(shape)} has more elements than there can be")
        found.append(numbers.astype(np.float32, copy=False).reshape(shape))
    return found


def _column(schema: Schema, name: str) -> tuple[str, int, int]:
    _, kind, node, buffer = schema.columns[0 if schema.columns[0][0].name == name else 1]
    if kind != "int32" and (kind != "float32" or name == "shape"):
        raise BadRecord(f"the column {name} of a result cannot be of type {kind}")
    return kind, node, buffer


def _numbers(arrays: Arrays, schema: Schema, name: str) -> Array:
    numbers, nulls = arrays.numbers(*_column(schema, name))
    if nulls or numbers.size != arrays.batch.rows:
        raise BadRecord("a result holds a null, or a column that is not as long as its batch")
    return numbers


def _shape(arrays: Arrays, schema: Schema, limits: Limits) -> tuple[int, ...]:
    kind, node, buffer = _column(schema, "shape")
    numbers, nulls = arrays.numbers(kind, node, buffer)
    first = numbers[: limits.max_rank + 1].tolist()
    valid = arrays.valid(node, buffer) if nulls else -1
    return tuple(each for row, each in enumerate(first) if each and valid >> row & 1)
