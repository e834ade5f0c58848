"""The arrays of an Arrow record batch as numpy views and texts, checked in full before they are used. Pure.

Source: Arrow Columnar Format 1.5, physical layouts (primitive, variable-size binary, variable-size list). As Arrow's
own readers do, a validity bitmap counts only where the array says that it holds nulls.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from strongroom.clusterserving.arrow_wire import Batch
from strongroom.clusterserving.faults import BadRecord
from strongroom.clusterserving.values import Array, view

NUMBERS: Final = {"int32": np.dtype("<i4"), "float32": np.dtype("<f4")}
_FEW: Final = 16  # rows up to which plain Python is faster than numpy


@dataclass(frozen=True, slots=True)
class Arrays:
    """The arrays of one batch of `data`. `node` and `buffer` number them, as `Schema.starts` does."""

    data: bytes
    batch: Batch

    def numbers(self, kind: str, node: int, buffer: int) -> tuple[Array, int]:
        """Return a primitive array as a view, with its count of nulls. Raises BadRecord."""
        count, nulls = self.batch.nodes[2 * node : 2 * node + 2]
        at, size = self._buffer(buffer + 1)
        if count * 4 > size:
            raise BadRecord("an Arrow array has more numbers than its buffer")
        return view(self.data, NUMBERS[kind], count, at), nulls

    def texts(self, node: int, buffer: int) -> list[bytes | None]:
        """Return the elements of a string or binary array, None for a null. Raises BadRecord."""
        count, nulls = self.batch.nodes[2 * node : 2 * node + 2]
        offsets = self._offsets(buffer + 1, count)
        at, size = self._buffer(buffer + 2)
        if offsets[-1] > size:
            raise BadRecord("an Arrow array has more text than its buffer")
        found: list[bytes | None] = [self.data[at + start : at + stop] for start, stop in pairwise(offsets)]
        if nulls:
            bits = _bits(self.valid(node, buffer), count)
            found = [each if bit == "1" else None for each, bit in zip(found, bits, strict=True)]
        return found

    def first_text(self, node: int, buffer: int) -> bytes | None:
        """Return the first element of a string or binary array, None for a null. Raises BadRecord."""
        count, nulls = self.batch.nodes[2 * node : 2 * node + 2]
        offsets = self._offsets(buffer + 1, count)
        at, size = self._buffer(buffer + 2)
        if count == 0 or offsets[-1] > size:
            raise BadRecord("an Arrow array has more text than its buffer, or no element")
        if nulls and not self.valid(node, buffer) & 1:
            return None
        return self.data[at + int(offsets[0]) : at + int(offsets[1])]

    def list_spans(self, node: int, buffer: int) -> list[tuple[int, int]]:
        """Return where the values of a list array lie in its items: spans of the lists that are not null, joined.

        Raises BadRecord, also where the array is not as long as its batch.
        """
        count, nulls = self.batch.nodes[2 * node : 2 * node + 2]
        if count != self.batch.rows:
            raise BadRecord("an Arrow array is not as long as its batch")
        offsets = self._offsets(buffer + 1, count)
        start, stop = int(offsets[0]), int(offsets[-1])
        if stop > self.batch.nodes[2 * node + 2]:
            raise BadRecord("a list goes on after the last of its items")
        if not nulls:
            return [(start, stop)]
        valid = self.valid(node, buffer)
        return _without_nulls(offsets, valid, count)

    def valid(self, node: int, buffer: int) -> int:
        """Return the bitmap of an array that holds nulls as one number. Raises BadRecord where the count differs."""
        count, nulls = self.batch.nodes[2 * node : 2 * node + 2]
        at, size = self._buffer(buffer)
        octets = (count + 7) // 8
        if octets > size:
            raise BadRecord("an Arrow array's bitmap of nulls is too short")
        bits = int.from_bytes(self.data[at : at + octets], "little") & ((1 << count) - 1)
        if count - bits.bit_count() != nulls:
            raise BadRecord("an Arrow array holds another number of nulls than it says")
        return bits

    def _buffer(self, index: int) -> tuple[int, int]:
        at, size = self.batch.buffers[2 * index : 2 * index + 2]
        return self.batch.body + at, size

    def _offsets(self, buffer: int, count: int) -> Sequence[int] | Array:
        at, size = self._buffer(buffer)
        if count == 0 and size == 0:  # "offsets may be empty in an array of length 0"
            return (0, 0)
        if (count + 1) * 4 > size:
            raise BadRecord("an Arrow array has fewer offsets than elements")
        if count <= _FEW:
            few = struct.unpack_from(f"<{count + 1}i", self.data, at)
            ascending = few[0] >= 0 and all(before <= after for before, after in pairwise(few))
            found: Sequence[int] | Array = few
        else:
            found = view(self.data, NUMBERS["int32"], count + 1, at)
            ascending = found[0] >= 0 and bool((found[1:] >= found[:-1]).all())
        if not ascending:
            raise BadRecord("the offsets of an Arrow array do not ascend")
        return found


def _bits(valid: int, count: int) -> str:
    """Return a bitmap as text, first row first: a number's bits one by one would take quadratic time."""
    return f"{valid:0{count}b}"[::-1] if count else ""


def _without_nulls(offsets: Sequence[int] | Array, valid: int, count: int) -> list[tuple[int, int]]:
    """Return the spans of the lists that are not null; spans that touch are one."""
    spans: list[tuple[int, int]] = []
    for bit, (start, stop) in zip(_bits(valid, count), pairwise(offsets), strict=True):
        if bit == "0" or start == stop:
            continue
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], int(stop))
        else:
            spans.append((int(start), int(stop)))
    return spans
