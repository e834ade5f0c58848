"""What is inside of a file, as Arrow batches: CSV, JSON lines, lines of text, Parquet.

Everything goes in large pieces; no row is touched in Python. Arrow's own messages show values, so none is passed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from io import RawIOBase
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, json

from strongroom.analytics.source.faults import BadRows
from strongroom.analytics.source.options import Options

BLOCK_BYTES: Final = 4 * 1024 * 1024
MAX_LINE_BYTES: Final = 64 * 1024 * 1024
TEXT_COLUMN: Final = "value"
_LONG: Final = f"a row has more than {BLOCK_BYTES} bytes"
_CSV_COLUMN: Final = re.compile(r"In CSV column #(\d{1,6})")
_JSON_COLUMN: Final = re.compile(r"Column\(/([^)\s]{1,200})\)")


def read_csv(
    stream: RawIOBase, options: Options, target: pa.Schema | None, names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield a CSV file's rows. `names`: of the columns where the file has no header; all types as text without target.

    Raises BadRows.
    """
    types = {field.name: _csv_type(field.type) for field in target} if target is not None else {}
    nulls = [options.null_value] if options.null_value == "" else ["", options.null_value]
    convert = csv.ConvertOptions(
        column_types=types, strings_can_be_null=True, null_values=nulls,
        quoted_strings_can_be_null=bool(options.null_value), true_values=["true", "True", "TRUE"],
        false_values=["false", "False", "FALSE"],
        include_columns=list(types) if types else None, include_missing_columns=True,
    )  # fmt: skip
    reading = csv.ReadOptions(
        use_threads=False, block_size=BLOCK_BYTES, column_names=None if options.header else list(names)
    )
    parsing = csv.ParseOptions(delimiter=options.delimiter, newlines_in_values=options.multi_line)
    try:
        opened = csv.open_csv(stream, read_options=reading, parse_options=parsing, convert_options=convert)
        yield from opened
    except (pa.ArrowException, UnicodeDecodeError) as problem:
        raise BadRows(_csv_fault(str(problem))) from None


def read_json(stream: RawIOBase, target: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file of one JSON object a line. Raises BadRows."""
    schema = pa.schema([(field.name, _json_type(field.type)) for field in target]) if target is not None else None
    parsing = json.ParseOptions(
        explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "ignore"
    )
    reading = json.ReadOptions(use_threads=False, block_size=BLOCK_BYTES)
    try:
        yield from json.open_json(stream, read_options=reading, parse_options=parsing)
    except (pa.ArrowException, UnicodeDecodeError) as problem:
        raise BadRows(_json_fault(str(problem))) from None


def read_text(stream: RawIOBase, name: str) -> Iterator[pa.RecordBatch]:
    """Yield the lines of a file, without their ends, as column `name`. Raises BadRows."""
    rest = b""
    while True:
        piece = stream.read(BLOCK_BYTES) or b""
        end = piece.rfind(b"\n") + 1
        if piece and not end:
            rest += piece
            if len(rest) > MAX_LINE_BYTES:
                raise BadRows(f"a line has more than {MAX_LINE_BYTES} bytes")
            continue
        lines, rest = rest + (piece[:end] if piece else b""), piece[end:]
        if lines:
            yield _lines(lines.removesuffix(b"\n"), name)
        if not piece:
            return


def _lines(data: bytes, name: str) -> pa.RecordBatch:
    text = pa.array([data], type=pa.binary()).cast(pa.large_string(), safe=False)
    try:
        text.validate(full=True)
    except pa.ArrowException:
        raise BadRows("a line is no UTF-8") from None
    lines = pc.split_pattern(text, "\n").flatten()
    if b"\r" in data:
        lines = pc.utf8_rtrim(lines, "\r")
    return pa.record_batch([lines.cast(pa.string())], names=[name])


def _csv_fault(message: str) -> str:
    found = _CSV_COLUMN.search(message)
    if found:
        return f"column {int(found[1]) + 1} (of the file) has a value that does not fit its type"
    return _LONG if "straddling" in message else "a row has more or fewer columns than the first, or is no UTF-8"


def _json_fault(message: str) -> str:
    found = _JSON_COLUMN.search(message)
    if found:
        return f"column {found[1]} has a value of another type"
    return _LONG if "straddling" in message else "a line is no JSON object"


def _csv_type(kind: pa.DataType) -> pa.DataType:
    # Timestamps may or may not have an offset: as text first, see columns.arrange.
    return pa.string() if pa.types.is_timestamp(kind) or pa.types.is_binary(kind) else kind


def _json_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _json_type(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_json_type(kind.value_type))
    return pa.string() if pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_binary(kind) else kind
