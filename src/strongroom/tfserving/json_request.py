"""Predict bodies of the REST interface to arrays: rows under `instances`, columns under `inputs`.

Source: spec `model-server.md` section 4.2; the order of checks and the texts are part of the interface. Bodies that are
right are read level by level in a few passes; only one that is not is walked element by element, to say what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final, NoReturn

import numpy as np

from strongroom.tfserving.datatypes import STORAGE, Array, DataType, UnsupportedType
from strongroom.tfserving.json_values import (
    BadJson,
    Json,
    decode_base64_object,
    is_base64_object,
    kind_of,
    shown,
    utf8,
)
from strongroom.tfserving.signatures import TensorSpec
from strongroom.tfserving.tensors import MAX_RANK

_FLOATS: Final = (DataType.DT_FLOAT, DataType.DT_DOUBLE)
_STRIDE: Final = 4096  # of elements that are found right together, where one by one would take a hundred times as long
INTEGERS: Final = {
    DataType.DT_INT32: (-(2**31), 2**31), DataType.DT_INT16: (-(2**31), 2**31), DataType.DT_INT8: (-(2**31), 2**31),
    DataType.DT_UINT8: (-(2**31), 2**31), DataType.DT_INT64: (-(2**63), 2**63), DataType.DT_UINT32: (0, 2**32),
    DataType.DT_UINT64: (0, 2**64),
}  # fmt: skip


def signature_name(body: Mapping[str, Json]) -> str:
    """Return the signature that a body asks for, "" for the default one. Raises BadJson."""
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise BadJson(
            f"JSON Value: {shown(dict(body))} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def is_row_form(body: Mapping[str, Json]) -> bool:
    """Return whether a body has `instances` (rows) rather than `inputs` (columns). Raises BadJson for both or none."""
    if "instances" in body and "inputs" in body:
        raise BadJson(
            f"JSON Value: {shown(dict(body))} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if "instances" not in body and "inputs" not in body:
        raise BadJson("Missing 'inputs' or 'instances' key")
    return "instances" in body


def arrays_of(body: Mapping[str, Json], specs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    """Return one array for each input of the signature. Raises BadJson or UnsupportedType."""
    if is_row_form(body):
        rows = body["instances"]
        if not isinstance(rows, list):
            raise BadJson(f"JSON Value: {shown(dict(body))} Expecting 'instances' to be an list/array")
        if not rows:
            raise BadJson(f"JSON Value: {shown(dict(body))} No values in 'instances' array")
        return _rows(rows, specs)
    return _columns(body["inputs"], specs)


def _columns(value: Json, specs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    if isinstance(value, dict) and not is_base64_object(value):
        for name in specs:
            if name not in value:
                raise BadJson(f"Missing named input: {name} in 'inputs' object.")
        return {name: array_of(value[name], spec.dtype) for name, spec in specs.items()}
    if len(specs) > 1:
        raise BadJson(
            "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
            "tensorinfo_map"
        )
    return {name: array_of(value, spec.dtype) for name, spec in specs.items()}


def _rows(rows: list[Json], specs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    named = _is_named(rows[0])
    if len(specs) > 1 and not named:
        raise BadJson(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    columns = _named_columns(rows, specs) if named else _plain_column(rows, specs)
    try:
        if columns is not None:
            return {name: array_of(items, specs[name].dtype) for name, items in columns.items()}
    except (BadJson, UnsupportedType):
        pass
    raise _refusal_of(rows, specs, named=named)


def _is_named(row: Json) -> bool:
    return isinstance(row, dict) and not is_base64_object(row)


def _plain_column(rows: list[Json], specs: Mapping[str, TensorSpec]) -> dict[str, list[Json]] | None:
    """Return the rows under the name of the one input; None where one of them is an object."""
    return None if dict in set(map(type, rows)) and any(map(_is_named, rows)) else {next(iter(specs)): rows}


def _named_columns(rows: list[Json], specs: Mapping[str, TensorSpec]) -> dict[str, list[Json]] | None:
    """Return the rows of each input; None where not every row is an object with just these names."""
    columns: dict[str, list[Json]] = {name: [] for name in specs}
    for row in rows:
        if not isinstance(row, dict) or row.keys() != specs.keys() or is_base64_object(row):
            return None
        for name, item in row.items():
            columns[name].append(item)
    return columns


def _refusal_of(rows: list[Json], specs: Mapping[str, TensorSpec], *, named: bool) -> BadJson:
    """Say which row, in reading order, is the first that is no row of these inputs or unlike those before it."""
    before: dict[str, Array] = {}
    for index, row in _from_first_wrong(rows, specs, before, named=named):
        if _is_named(row) != named:
            wanted, got = ("object", "list") if named else ("value/list", "object")
            return BadJson(f"Expecting {wanted} but got {got} at item {index} of input list")
        items = row if isinstance(row, dict) and named else {next(iter(specs)): row}
        for name, item in items.items():
            if wrong := _wrong_with(item, name, specs, before):
                place = f"{index} key: {name}" if named else f"{index}"
                return BadJson(f"Failed to process element: {place} of 'instances' list. Error: {wrong}")
        if items.keys() != specs.keys():
            return BadJson(
                f"Failed to process element: {index} of 'instances' list. JSON object: {shown(row)} keys must be "
                f"equal to: {','.join(sorted(specs))}"
            )
    return BadJson(f"the {len(rows)} rows of 'instances' cannot be joined")


def _from_first_wrong(
    rows: list[Json], specs: Mapping[str, TensorSpec], before: dict[str, Array], *, named: bool
) -> Iterator[tuple[int, Json]]:
    """Yield the rows with their indices, but for strides of them in which nothing is wrong."""
    for start in range(0, len(rows), _STRIDE):
        part = rows[start : start + _STRIDE]
        if not _fits(part, specs, before, named=named):
            yield from enumerate(part, start)


def _fits(rows: list[Json], specs: Mapping[str, TensorSpec], before: dict[str, Array], *, named: bool) -> bool:
    """Return whether all of some rows are right, and like those before them; if so, remember what they are like."""
    if len(rows) < _STRIDE or _is_named(rows[0]) != named:
        return False
    columns = _named_columns(rows, specs) if named else _plain_column(rows, specs)
    if columns is None:
        return False
    try:
        arrays = {name: array_of(items, specs[name].dtype) for name, items in columns.items()}
    except (BadJson, UnsupportedType):
        return False
    firsts = {name: array[:1].reshape(array.shape[1:]) for name, array in arrays.items()}
    return all(first.shape == before.setdefault(name, first).shape for name, first in firsts.items())


def _wrong_with(item: Json, name: str, specs: Mapping[str, TensorSpec], before: dict[str, Array]) -> str:
    """Return the status that a row's value for an input has, "" where it is right."""
    if name not in specs:
        return f"INVALID_ARGUMENT: JSON object: does not have named input: {name}"
    try:
        array = array_of(item, specs[name].dtype)
        _check_alike(array, before.setdefault(name, array))
    except UnsupportedType as problem:
        return f"UNIMPLEMENTED: {problem.sentence}"
    except BadJson as problem:
        return f"INVALID_ARGUMENT: {problem.sentence}"
    return ""


def _check_alike(array: Array, first: Array) -> None:
    if array.size != first.size:
        raise BadJson(f"Expecting tensor size: {first.size} but got: {array.size}")
    if array.shape != first.shape:
        raise BadJson(f"Expecting shape {_text(first.shape)} but got: {_text(array.shape)}")


def _text(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def array_of(value: Json, dtype: DataType) -> Array:
    """Return a value, or nested lists of values of one shape, as an array. Raises BadJson or UnsupportedType."""
    shape = _shape_by_first(value)
    flat: list[Json] = [value]
    for size in shape:
        if set(map(type, flat)) - {list} or set(map(len, flat)) - {size}:  # type: ignore[arg-type]  # lists by then
            _refuse(value, shape, dtype)
        flat = list(chain.from_iterable(flat))  # type: ignore[arg-type]  # all are lists: checked above
    if list in set(map(type, flat)):
        _refuse(value, shape, dtype)
    return _typed(flat, dtype).reshape(shape)


def _shape_by_first(value: Json) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    if len(shape) > MAX_RANK:
        raise BadJson(f"a list nested {len(shape)} deep is more than a tensor of rank {MAX_RANK}")
    return tuple(shape)


def _refuse(value: Json, shape: tuple[int, ...], dtype: DataType) -> NoReturn:
    """Raise for the first element, in reading order, that does not fit `shape` or `dtype`."""
    _check(value, shape, dtype, 0)
    raise BadJson(f"JSON Value: {shown(value)} is not a tensor")


def _check(value: Json, shape: tuple[int, ...], dtype: DataType, level: int) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise BadJson(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        _typed([value], dtype)
        return
    if level >= len(shape):
        raise BadJson(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise BadJson(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for start in range(0, len(value), _STRIDE):
        part = value[start : start + _STRIDE]
        if len(value) > _STRIDE and _is_right(part, shape[level + 1 :], dtype):
            continue
        for each in part:
            _check(each, shape, dtype, level + 1)


def _is_right(part: list[Json], shape: tuple[int, ...], dtype: DataType) -> bool:
    try:
        return bool(array_of(part, dtype).shape[1:] == shape)
    except (BadJson, UnsupportedType):
        return False


def _typed(flat: list[Json], dtype: DataType) -> Array:
    kinds = set(map(type, flat))
    if not kinds:
        return np.empty(0, STORAGE[dtype].dtype)
    if dtype in _FLOATS:
        return _floats(flat, dtype) if kinds <= {int, float} else _mismatch(flat, dtype, (int, float))
    if dtype in INTEGERS:
        return _integers(flat, dtype) if kinds <= {int} else _mismatch(flat, dtype, (int,))
    if dtype is DataType.DT_BOOL:
        return np.array(flat, np.bool_) if kinds <= {bool} else _mismatch(flat, dtype, (bool,))
    if dtype is DataType.DT_STRING:
        return _strings(flat) if kinds <= {str, dict} else _mismatch(flat, dtype, (str, dict))
    raise UnsupportedType(f"Conversion of JSON Value: {shown(flat[0])} to type: {dtype.word}")


def _mismatch(flat: list[Json], dtype: DataType, wanted: tuple[type, ...]) -> Array:
    wrong = next(each for each in flat if type(each) not in wanted)
    raise BadJson(f"JSON Value: {shown(wrong)} Type: {kind_of(wrong)} is not of expected type: {dtype.word}")


def _floats(flat: list[Json], dtype: DataType) -> Array:
    """Convert through double, as the interface does: what is too large becomes Infinity."""
    try:
        wide = np.array(flat, np.float64)
    except OverflowError:
        wide = np.array([_wide(each) for each in flat], np.float64)
    with np.errstate(over="ignore"):
        return wide.astype(STORAGE[dtype].dtype, copy=False)


def _wide(number: Json) -> float:
    try:
        return float(number)  # type: ignore[arg-type]  # numbers only: the caller checked
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")  # type: ignore[operator]


def _integers(flat: list[Json], dtype: DataType) -> Array:
    low, stop = INTEGERS[dtype]
    for number in flat:
        if not low <= number < stop:  # type: ignore[operator]  # integers only: the caller checked
            raise BadJson(f"JSON Value: {shown(number)} Type: Number is not of expected type: {dtype.word}")
    wide = np.uint64 if dtype is DataType.DT_UINT64 else np.int64
    return np.array(flat, wide).astype(STORAGE[dtype].dtype)  # narrow types wrap, as TensorFlow's int_val does


def _strings(flat: list[Json]) -> Array:
    array = np.empty(len(flat), object)
    for index, each in enumerate(flat):
        if isinstance(each, dict):
            array[index] = decode_base64_object(each)
        else:
            array[index] = utf8(str(each))
    return array
