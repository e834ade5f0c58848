"""What is inside of a file, as Arrow batches: CSV, JSON lines, lines of text, Parquet.

Everything goes in large pieces; no row is touched in Python. Arrow's own messages show values, so none is passed on.
"""

from __future__ import annotations

import base64
import binascii
import csv as rows
import io
import re
from collections.abc import Iterator, Sequence
from io import RawIOBase
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, json

from strongroom.analytics.source.faults import BadRows
from strongroom.analytics.source.options import Options

BLOCK_BYTES: Final = 4 * 1024 * 1024
MAX_LINE_BYTES: Final = 64 * 1024 * 1024
MAX_HEADER_BYTES: Final = 1024 * 1024
TEXT_COLUMN: Final = "value"
_LONG: Final = f"a row has more than {BLOCK_BYTES} bytes"
_NAMED: Final = (
    "Set the option header to true if the first line names the columns; if not, give the schema that fits the file."
)
_CSV_COLUMN: Final = re.compile(r"In CSV column #(\d{1,6})")
_JSON_COLUMN: Final = re.compile(r"Column\(/([^)\s]{1,200})\)")


def read_csv(
    stream: RawIOBase, options: Options, target: pa.Schema | None, names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield a CSV file's rows. `names`: of the columns where the file has no header; all types as text without target.

    Raises BadRows.
    """
    spelled = _spelled(stream, options, target) if options.header and target is not None else {}
    marked = bool(options.null_value) and target is not None  # a text that means null, beside the quoted empty one
    types = {spelled.get(field.name, field.name): pa.string() if marked else _csv_type(field.type)
             for field in target or ()}  # fmt: skip
    convert = csv.ConvertOptions(
        column_types=types, strings_can_be_null=True, null_values=[""] if marked else ["", options.null_value],
        quoted_strings_can_be_null=bool(options.null_value) and not marked, true_values=["true", "True", "TRUE"],
        false_values=["false", "False", "FALSE"],
        include_columns=list(types) if types else None, include_missing_columns=True,
    )  # fmt: skip
    reading = csv.ReadOptions(
        use_threads=False, block_size=BLOCK_BYTES, column_names=None if options.header else list(names)
    )
    parsing = csv.ParseOptions(delimiter=options.delimiter, newlines_in_values=options.multi_line)
    try:
        opened = csv.open_csv(stream, read_options=reading, parse_options=parsing, convert_options=convert)
        for batch in opened:
            found = _marked_as_null(batch, options.null_value) if marked else batch
            yield found.rename_columns(target.names) if target is not None and spelled else found
    except (pa.ArrowException, UnicodeDecodeError) as problem:
        fault = _csv_fault(str(problem))
        raise BadRows(fault, fix=None if options.header else _NAMED) from None


def _spelled(stream: RawIOBase, options: Options, target: pa.Schema) -> dict[str, str]:
    """Return column -> its name in a file's header, where case and spaces around it may differ. Raises BadRows."""
    text = (stream.read(MAX_HEADER_BYTES) or b"").decode("utf-8-sig", errors="replace")
    stream.seek(0)
    try:
        header = next(rows.reader(io.StringIO(text, newline=""), delimiter=options.delimiter), [])
    except rows.Error:
        raise BadRows("the first row is no header") from None
    found = {}
    for name in target.names:
        alike = [each for each in header if each.strip().lower() == name.strip().lower()]
        if name not in header and len(alike) != 1:
            raise BadRows(f"the header has no column {name}")
        found[name] = name if name in header else alike[0]
    return found


def _marked_as_null(batch: pa.RecordBatch, mark: str) -> pa.RecordBatch:
    columns = [pc.if_else(pc.equal(column, mark), None, column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def read_json(stream: RawIOBase, target: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file of one JSON object a line. Raises BadRows."""
    schema = pa.schema([(field.name, _json_type(field.type)) for field in target]) if target is not None else None
    parsing = json.ParseOptions(
        explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "ignore"
    )
    reading = json.ReadOptions(use_threads=False, block_size=BLOCK_BYTES)
    try:
        for batch in json.open_json(stream, read_options=reading, parse_options=parsing):
            yield batch if target is None else _with_bytes(batch, target)
    except (pa.ArrowException, UnicodeDecodeError) as problem:
        raise BadRows(_json_fault(str(problem))) from None


def _with_bytes(batch: pa.RecordBatch, target: pa.Schema) -> pa.RecordBatch:
    """Return a batch whose binary columns, base64 in JSON, are bytes. Raises BadRows."""
    for field in target:
        kept = _json_type(field.type, binary=pa.binary())
        at = batch.schema.get_field_index(field.name)
        if at < 0 or kept == _json_type(field.type):
            continue
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
            yield _lines(lines, name)
        if not piece:
            return


def _lines(data: bytes, name: str) -> pa.RecordBatch:
    if b"\r" in data:  # which ends a line as well, as for Spark
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data = data.removesuffix(b"\n")
    text = pa.array([data], type=pa.binary()).cast(pa.large_string(), safe=False)
    try:
        text.validate(full=True)
    except pa.ArrowException:
        raise BadRows("a line is no UTF-8") from None
    lines = pc.split_pattern(text, "\n").flatten()
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


def _json_type(kind: pa.DataType, *, binary: pa.DataType | None = None) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _json_type(field.type, binary=binary)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_json_type(kind.value_type, binary=binary))
    if pa.types.is_binary(kind):
        return binary or pa.string()
    return pa.string() if pa.types.is_date(kind) or pa.types.is_timestamp(kind) else kind
