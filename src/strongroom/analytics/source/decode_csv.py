"""CSV as Arrow batches: what Spark reads of it, or nothing.

Arrow finds the values; what they are of a type is asked here, since Arrow would take more for a number than Spark does
(spaces around it, 0x10). Arrow's own messages show values, so none is passed on.
"""

from __future__ import annotations

import csv as rows
import io
from collections.abc import Iterator, Sequence
from io import RawIOBase
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from strongroom.analytics.source.blocks import BLOCK_BYTES, Pieces
from strongroom.analytics.source.dialect import rfc4180
from strongroom.analytics.source.faults import BadRows
from strongroom.analytics.source.options import Options

_NAMED: Final = (
    "Set the option header to true if the first line names the columns; if not, give the schema that fits the file."
)


def read_csv(
    stream: RawIOBase, options: Options, target: pa.Schema | None, names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield a CSV file's rows. `names`: of the columns where the file has no header.

    Without `target` all columns are there, of the types that they seem to have. Raises BadRows.
    """
    if options.header or target is None:
        found = first_row(stream, options)
        names = found if options.header else [f"_c{at}" for at in range(len(found))]
    chosen = [*range(len(names))] if target is None else [_place(field.name, names) for field in target]
    places = [str(at) for at in chosen]
    marked = bool(options.null_value) and target is not None  # a text that means null, beside the quoted empty one
    convert = csv.ConvertOptions(
        column_types=None if target is None else dict.fromkeys(places, pa.string()), include_columns=places,
        strings_can_be_null=True, null_values=[""] if marked else ["", options.null_value],
        quoted_strings_can_be_null=bool(options.null_value) and not marked,
        true_values=["true", "True", "TRUE"], false_values=["false", "False", "FALSE"],
    )  # fmt: skip
    reading = csv.ReadOptions(
        use_threads=False, block_size=BLOCK_BYTES, column_names=[str(at) for at in range(len(names))],
        skip_rows_after_names=int(options.header),
    )  # fmt: skip
    parsing = csv.ParseOptions(
        delimiter=options.delimiter, quote_char=options.quote or False, newlines_in_values=options.multi_line
    )
    try:
        with Pieces(rfc4180(stream, options)) as pieces:
            opened = csv.open_csv(pieces, read_options=reading, parse_options=parsing, convert_options=convert)
            for batch in opened:
                if target is None:
                    yield batch.rename_columns(list(names))
                else:
                    yield _typed(batch, target, options)
    except (pa.ArrowException, UnicodeDecodeError) as problem:
        long = "straddling" in str(problem)
        fault = (
            f"a row has more than {BLOCK_BYTES} bytes" if long else "a row has more or fewer columns, or is no UTF-8"
        )
        raise BadRows(fault, fix=None if options.header else _NAMED) from None


def first_row(stream: RawIOBase, options: Options) -> list[str]:
    """Return the values of a file's first row; of a header, those without a name have Spark's. Raises BadRows."""
    text = next(rfc4180(stream, options), b"").decode("utf-8", errors="replace")
    stream.seek(0)
    reader = rows.reader(
        io.StringIO(text, newline=""), delimiter=options.delimiter, quotechar=options.quote or None,
        quoting=rows.QUOTE_MINIMAL if options.quote else rows.QUOTE_NONE,
    )  # fmt: skip
    try:
        found = next(reader, [])
    except rows.Error:
        raise BadRows("the first row is no header") from None
    return [name or f"_c{at}" for at, name in enumerate(found)] if options.header else found


def _place(wanted: str, names: Sequence[str]) -> int:
    """Return where a column is, by a name whose case and spaces around it may differ. Raises BadRows."""
    same = [at for at, name in enumerate(names) if name == wanted]
    alike = [at for at, name in enumerate(names) if name.strip().lower() == wanted.strip().lower()]
    found = same or alike
    if not found:
        raise BadRows(f"the header has no column {wanted}")
    if len(found) > 1:
        raise BadRows(f"the header has column {wanted} more than once")
    return found[0]


def _typed(batch: pa.RecordBatch, target: pa.Schema, options: Options) -> pa.RecordBatch:
    arrays = []
    for column, field in zip(batch.columns, target, strict=True):
        try:
            arrays.append(_of_type(_without_nulls(column, field.type, options.null_value), field.type))
        except (pa.ArrowException, ValueError):
            fix = None if options.header else _NAMED
            raise BadRows(f"column {field.name} has a value that does not fit its type", fix=fix) from None
    return pa.RecordBatch.from_arrays(arrays, names=target.names)


def _without_nulls(column: pa.StringArray, kind: pa.DataType, mark: str) -> pa.StringArray:
    """Return a column with nulls for what means null: of numbers and the like, the empty text in quotes as well."""
    if not mark and pa.types.is_string(kind):
        return column
    means = pc.equal(column, mark)
    return pc.if_else(means, None, column) if pc.any(means).as_py() else column


def _of_type(column: pa.StringArray, kind: pa.DataType) -> pa.Array:
    """Return texts as values of a type. Raises ValueError or Arrow's error, which may show values."""
    if pa.types.is_timestamp(kind) or pa.types.is_binary(kind):
        return column  # with an offset or without: see columns.arrange
    letters, words = _more(kind)
    data = column.buffers()[2]
    if data is not None and letters:
        text = data.to_pybytes()
        if any(letter in text for letter in letters) and not _all(column, words):
            raise ValueError
    return column.cast(kind)


def _more(kind: pa.DataType) -> tuple[tuple[bytes, ...], str]:
    """Return what is in a text that Arrow would take for more than Spark does, and what Spark takes."""
    if pa.types.is_integer(kind):
        return (b"x", b"X"), "^[0-9+-]+$"
    if pa.types.is_floating(kind):
        return (b"n", b"N"), "^(?:[+-]?Inf(?:inity)?|NaN|[0-9eE.+-]+)$"
    return ((b"0", b"1"), "^[a-zA-Z]+$") if pa.types.is_boolean(kind) else ((), "")


def _all(column: pa.StringArray, words: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(column, words), min_count=0).as_py())
