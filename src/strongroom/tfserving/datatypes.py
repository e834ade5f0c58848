"""TensorFlow's data types: number, name, numpy storage type, and the TensorProto field that carries the values.

Source: spec `model-server.md` section 2, table DataType. Types that numpy does not know (bfloat16, the 8-bit floats)
are stored as the unsigned integers of their bit patterns; types that cannot be sent are absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeAlias

import numpy as np

from strongroom.errors import BadInput

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class UnsupportedType(BadInput):
    """A tensor's type cannot be sent in this form."""

    code = "SR-TENSOR-TYPE"
    fix = "Send a type that the model's metadata names; over REST: numbers, booleans and strings."


class DataType(IntEnum):
    """TensorFlow's numbers; resource, variant, 4-bit and reference types are refused and so not listed."""

    DT_FLOAT = 1
    DT_DOUBLE = 2
    DT_INT32 = 3
    DT_UINT8 = 4
    DT_INT16 = 5
    DT_INT8 = 6
    DT_STRING = 7
    DT_COMPLEX64 = 8
    DT_INT64 = 9
    DT_BOOL = 10
    DT_QINT8 = 11
    DT_QUINT8 = 12
    DT_QINT32 = 13
    DT_BFLOAT16 = 14
    DT_QINT16 = 15
    DT_QUINT16 = 16
    DT_UINT16 = 17
    DT_COMPLEX128 = 18
    DT_HALF = 19
    DT_UINT32 = 22
    DT_UINT64 = 23
    DT_FLOAT8_E5M2 = 24
    DT_FLOAT8_E4M3FN = 25
    DT_FLOAT8_E4M3FNUZ = 26
    DT_FLOAT8_E4M3B11FNUZ = 27
    DT_FLOAT8_E5M2FNUZ = 28

    @property
    def word(self) -> str:
        """The type as TensorFlow's messages spell it: `float`, `int32`, `string`."""
        return self.name.removeprefix("DT_").lower()


@dataclass(frozen=True, slots=True)
class Storage:
    """How a type is kept: the little-endian numpy type, the typed field, and whether that holds the exact bytes."""

    dtype: np.dtype[Any]
    field: str
    exact: bool  # packed values on the wire are the array's own bytes


def _storage(kind: str, field: str, *, exact: bool = False) -> Storage:
    return Storage(np.dtype(kind), field, exact)


STORAGE: Final = {
    DataType.DT_FLOAT: _storage("<f4", "float_val", exact=True),
    DataType.DT_DOUBLE: _storage("<f8", "double_val", exact=True),
    DataType.DT_INT32: _storage("<i4", "int_val"),
    DataType.DT_UINT8: _storage("u1", "int_val"),
    DataType.DT_INT16: _storage("<i2", "int_val"),
    DataType.DT_INT8: _storage("i1", "int_val"),
    DataType.DT_STRING: _storage("O", "string_val"),
    DataType.DT_COMPLEX64: _storage("<c8", "scomplex_val", exact=True),
    DataType.DT_INT64: _storage("<i8", "int64_val"),
    DataType.DT_BOOL: _storage("?", "bool_val", exact=True),
    DataType.DT_QINT8: _storage("i1", "int_val"),
    DataType.DT_QUINT8: _storage("u1", "int_val"),
    DataType.DT_QINT32: _storage("<i4", "int_val"),
    DataType.DT_BFLOAT16: _storage("<u2", "half_val"),
    DataType.DT_QINT16: _storage("<i2", "int_val"),
    DataType.DT_QUINT16: _storage("<u2", "int_val"),
    DataType.DT_UINT16: _storage("<u2", "int_val"),
    DataType.DT_COMPLEX128: _storage("<c16", "dcomplex_val", exact=True),
    DataType.DT_HALF: _storage("<f2", "half_val"),
    DataType.DT_UINT32: _storage("<u4", "uint32_val"),
    DataType.DT_UINT64: _storage("<u8", "uint64_val"),
    DataType.DT_FLOAT8_E5M2: _storage("u1", "float8_val", exact=True),
    DataType.DT_FLOAT8_E4M3FN: _storage("u1", "float8_val", exact=True),
    DataType.DT_FLOAT8_E4M3FNUZ: _storage("u1", "float8_val", exact=True),
    DataType.DT_FLOAT8_E4M3B11FNUZ: _storage("u1", "float8_val", exact=True),
    DataType.DT_FLOAT8_E5M2FNUZ: _storage("u1", "float8_val", exact=True),
}

_BY_DTYPE: Final = {
    np.dtype(kind): member
    for kind, member in (
        ("f4", DataType.DT_FLOAT), ("f8", DataType.DT_DOUBLE), ("f2", DataType.DT_HALF), ("?", DataType.DT_BOOL),
        ("i1", DataType.DT_INT8), ("i2", DataType.DT_INT16), ("i4", DataType.DT_INT32), ("i8", DataType.DT_INT64),
        ("u1", DataType.DT_UINT8), ("u2", DataType.DT_UINT16), ("u4", DataType.DT_UINT32), ("u8", DataType.DT_UINT64),
        ("c8", DataType.DT_COMPLEX64), ("c16", DataType.DT_COMPLEX128),
    )
}  # fmt: skip


def type_of_number(number: int) -> DataType:
    """Return the type with TensorFlow's `number`. Raises UnsupportedType."""
    try:
        return DataType(number)
    except ValueError:
        raise UnsupportedType(f"data type {number} cannot be sent to a model") from None


def type_of_array(array: Array) -> DataType:
    """Return the type that carries `array`; object, bytes and str arrays are strings. Raises UnsupportedType."""
    if array.dtype.kind in "OSU":
        return DataType.DT_STRING
    found = _BY_DTYPE.get(array.dtype.newbyteorder("="))
    if found is None:
        raise UnsupportedType(f"no TensorFlow type carries arrays of {array.dtype}")
    return found
