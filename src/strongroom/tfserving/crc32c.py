"""CRC-32C (Castagnoli), as TFRecord files are checked with. Pure.

A table does a byte at a time; long data is cut into lanes that numpy runs side by side, and the lanes' remainders are
joined by multiplication with powers of x (Mark Adler's crc32_combine). Source: RFC 3720 appendix B.4.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

import numpy as np

Words: TypeAlias = np.ndarray[Any, np.dtype[np.uint32]]
_POLYNOMIAL: Final = 0x82F63B78  # reflected
_LANES_FROM: Final = 8192  # bytes; below, the table alone is about as fast
_LANE_BYTES: Final = 64  # at least
_MAX_LANES: Final = 4096
_ONES: Final = 0xFFFFFFFF


def _row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE: Final = tuple(map(_row, range(256)))
_ROWS: Final = np.array(_TABLE, np.uint32)
_BITS: Final = np.arange(32, dtype=np.uint32)


def crc32c(data: bytes | memoryview) -> int:
    """Return the CRC-32C of `data`."""
    if len(data) >= _LANES_FROM:
        return _in_lanes(np.frombuffer(data, np.uint8)) ^ _ONES
    state = _ONES
    for byte in bytes(data):
        state = _TABLE[(state ^ byte) & 0xFF] ^ state >> 8
    return state ^ _ONES


def _in_lanes(data: np.ndarray[Any, np.dtype[np.uint8]]) -> int:
    """Return the register after `data`; zeros before it change nothing once its start is in the data itself."""
    lanes = min(1 << (len(data) // _LANE_BYTES).bit_length(), _MAX_LANES)
    length = -(-len(data) // lanes)
    padded = np.zeros(lanes * length, np.uint8)
    padded[-len(data) :] = data
    padded[len(padded) - len(data) :][:4] ^= 0xFF  # the register starts as all ones
    state = np.zeros(lanes, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(lanes, length).T):
        state = _ROWS[(state ^ column) & 0xFF] ^ state >> 8
    while len(state) > 1:
        first = state[0::2]
        state = state[1::2].copy()
        for number, table in enumerate(_tables(length)):
            state ^= table[first >> np.uint32(8 * number) & 0xFF]
        length *= 2
    return int(state[0])


def _product(matrix: Words, vectors: Words) -> Words:
    """Multiply bit vectors by a 32 x 32 matrix over GF(2), given by its columns."""
    result = np.zeros_like(vectors)
    for bit, column in enumerate(matrix):
        result ^= np.where(vectors >> np.uint32(bit) & 1, column, np.uint32(0))
    return result


@cache
def _power(exponent: int) -> Words:
    """Return the matrix that appends 2**exponent zero bytes."""
    if exponent == 0:
        unit = np.uint32(1) << _BITS
        one: Words = _ROWS[unit & 0xFF] ^ unit >> 8
        return one
    half = _power(exponent - 1)
    return _product(half, half)


@lru_cache(maxsize=256)
def _tables(count: int) -> tuple[Words, ...]:
    """Return, for each byte of the register, what it becomes when `count` zero bytes follow."""
    matrix, bytes_ = _after_zeros(count), np.arange(256, dtype=np.uint32)
    return tuple(_product(matrix, bytes_ << np.uint32(shift)) for shift in (0, 8, 16, 24))


def _after_zeros(count: int) -> Words:
    """Return the matrix that appends `count` zero bytes."""
    matrix = np.uint32(1) << _BITS
    for exponent in range(count.bit_length()):
        if count >> exponent & 1:
            matrix = _product(_power(exponent), matrix)
    return matrix
