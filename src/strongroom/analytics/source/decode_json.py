"""Lines of JSON as Arrow batches: one object a line, in UTF-8, as Spark writes them and reads them.

Arrow reads them, and what it would read otherwise than Spark is refused: two objects on a line, a name that is there
twice, numbers that do not fit. Objects that are maps, whose names no schema knows, are read in Python.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from io import RawIOBase
from typing import Any, Final

import pyarrow as pa
from pyarrow import json as arrow_json

from strongroom.analytics.source.blocks import BLOCK_BYTES, Pieces
from strongroom.analytics.source.faults import BadRows
from strongroom.analytics.source.json_types import holds, json_type

_COLUMN: Final = re.compile(r"Column\(/([^)\s]{1,200})\)")
_FIRST: Final = re.compile(rb"^[ \t\r]*+([^ \t\r\n])", re.MULTILINE)
_BEHIND: Final = re.compile(rb"\}[ \t\r]*+null")  # Arrow takes this for a row, and ends the process
_NO_OBJECT: Final = "a line is no JSON object"
_BOM: Final = b"\xef\xbb\xbf"


def read_json(stream: RawIOBase, target: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file of one JSON object a line. Raises BadRows."""
    lines = _Lines(stream)
    if target is not None and any(holds(field.type, pa.types.is_map) for field in target):
        yield from _with_maps(lines, target)
        return
    schema = pa.schema([(field.name, json_type(field.type)) for field in target]) if target is not None else None
    parsing = arrow_json.ParseOptions(
        explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "ignore"
    )
    reading = arrow_json.ReadOptions(use_threads=False, block_size=BLOCK_BYTES)
    rows = 0
    try:
        with Pieces(lines) as pieces:
            for batch in arrow_json.open_json(pieces, read_options=reading, parse_options=parsing):
                batch.validate(full=True)  # Arrow believes what it was told of decimals and UTF-8
                rows += batch.num_rows
                yield batch if target is None else _with_bytes(batch, target)
    except (pa.ArrowException, UnicodeDecodeError) as problem:
        raise BadRows(_fault(str(problem))) from None
    if rows != lines.count:
        raise BadRows("a line is more than one JSON object, or less")


def _fault(message: str) -> str:
    found = _COLUMN.search(message)
    if found:
        return f"column {found[1]} has a value of another type"
    return f"a row has more than {BLOCK_BYTES} bytes" if "straddling" in message else _NO_OBJECT


class _Lines:
    """Yields pieces of whole lines, each of which begins an object; counts them."""

    def __init__(self, stream: RawIOBase) -> None:
        self._stream: Final = stream
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        rest = (self._stream.read(BLOCK_BYTES) or b"").removeprefix(_BOM)
        while rest:
            end = rest.rfind(b"\n") + 1
            read = self._stream.read(BLOCK_BYTES) or b""
            if not read:
                end = len(rest)
            elif not end and len(rest) > BLOCK_BYTES:
                raise BadRows(f"a row has more than {BLOCK_BYTES} bytes")
            lines, rest = rest[:end], rest[end:] + read
            if lines:
                self._check(lines)
                yield lines

    def _check(self, lines: bytes) -> None:
        begun = lines.count(b"\n{") + lines.startswith(b"{")
        if begun != lines.count(b"\n") + (not lines.endswith(b"\n")):  # else all begin so, which is told at once
            first = _FIRST.findall(lines)
            if any(each != b"{" for each in first):
                raise BadRows(_NO_OBJECT)
            begun = len(first)
        for found in _BEHIND.finditer(lines):  # within a text it may be
            start, end = lines.rfind(b"\n", 0, found.start()) + 1, lines.find(b"\n", found.end())
            _parsed(lines[start : end if end >= 0 else len(lines)])
        self.count += begun


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line.decode(), parse_float=Decimal, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        raise BadRows(_NO_OBJECT) from None
    if not isinstance(found, dict):
        raise BadRows(_NO_OBJECT)
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _with_maps(lines: _Lines, target: pa.Schema) -> Iterator[pa.RecordBatch]:
    for piece in lines:
        rows = [_parsed(line) for line in piece.split(b"\n") if line.strip()]
        arrays = []
        for field in target:
            kind = json_type(field.type, binary=pa.binary())
            try:
                arrays.append(pa.array([_value(row.get(field.name), kind) for row in rows], kind))
            except (pa.ArrowException, ValueError, OverflowError):
                raise BadRows(f"column {field.name} has a value of another type") from None
        yield pa.RecordBatch.from_arrays(arrays, names=target.names)


def _value(value: Any, kind: pa.DataType) -> Any:  # noqa: ANN401  # a JSON tree
    """Return a value as Arrow wants it of a type. Raises ValueError where it is of another one."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return [(name, _value(each, kind.item_type)) for name, each in _of(value, dict).items()]
    if pa.types.is_struct(kind):
        return {field.name: _value(_of(value, dict).get(field.name), field.type) for field in kind}
    if pa.types.is_list(kind):
        return [_value(each, kind.value_type) for each in _of(value, list)]
    if pa.types.is_binary(kind):
        return base64.b64decode(_of(value, str), validate=True)
    if pa.types.is_boolean(kind):
        return _of(value, bool)
    if pa.types.is_string(kind):
        return _of(value, str).encode().decode()  # half a character is none
    if isinstance(value, bool):
        raise ValueError("a boolean")  # noqa: TRY004  # as _of
    if pa.types.is_decimal(kind):
        return Decimal(_of(value, int, Decimal, str))
    return _of(value, int) if pa.types.is_integer(kind) else float(_of(value, int, float, Decimal))


def _of(value: Any, *kinds: type) -> Any:  # noqa: ANN401  # a JSON tree
    if not isinstance(value, kinds):
        raise ValueError("of another type")  # noqa: TRY004  # the caller's refusal, not a bug
    return value


def _with_bytes(batch: pa.RecordBatch, target: pa.Schema) -> pa.RecordBatch:
    """Return a batch whose binary columns, base64 in JSON, are bytes. Raises BadRows."""
    for field in target:
        at = batch.schema.get_field_index(field.name)
        if at < 0 or not holds(field.type, pa.types.is_binary):
            continue
        kept = json_type(field.type, binary=pa.binary())
        try:
            values = [_decoded(value, kept) for value in batch.column(at).to_pylist()]
        except (binascii.Error, ValueError):
            raise BadRows(f"column {field.name} has values that are no base64") from None
        batch = batch.set_column(at, pa.field(field.name, kept), pa.array(values, kept))
    return batch


def _decoded(value: Any, kind: pa.DataType) -> Any:  # noqa: ANN401  # a JSON tree
    if value is None:
        return None
    if pa.types.is_binary(kind):
        return base64.b64decode(value, validate=True)
    if pa.types.is_list(kind):
        return [_decoded(each, kind.value_type) for each in value]
    if pa.types.is_struct(kind):
        return {field.name: _decoded(value[field.name], field.type) for field in kind}
    return value
