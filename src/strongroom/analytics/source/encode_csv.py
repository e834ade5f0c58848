"""Arrow batches as CSV: what Spark reads with the same options, and pandas too where escape is the quote."""

from __future__ import annotations

from io import RawIOBase
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from strongroom.analytics.source.faults import RowsNotWritten
from strongroom.analytics.source.options import Options

_NAMES: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}  # of floats, as Spark reads them


class CsvRows:
    """Writes rows; nulls as nothing at all or as nullValue, texts within quotes where they need them."""

    def __init__(self, stream: RawIOBase, schema: pa.Schema, options: Options) -> None:
        for field in schema:
            if pa.types.is_nested(field.type) or pa.types.is_binary(field.type):
                raise RowsNotWritten(f"CSV cannot hold column {field.name}, which is {field.type}")
        self._stream: Final = stream
        self._options: Final = options
        special = "".join(f"\\x{ord(each):02x}" for each in options.delimiter + options.quote)
        self._special: Final = rf"[{special}\r\n]|^$|^\x{{feff}}"  # a byte order mark would be taken for the file's
        if options.header:
            self._write([self._quoted(pa.array([name]), name) for name in schema.names])

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Write rows. Raises RowsNotWritten."""
        null, found = self._options.null_value, []
        for column, name in zip(batch.columns, batch.schema.names, strict=True):
            if column.null_count and batch.num_columns == 1 and not null:  # an empty line, which is no row
                raise RowsNotWritten(f"CSV cannot hold a null in its only column {name} without a nullValue")
            text = self._text(column)
            if null and pc.any(pc.equal(text, null)).as_py():
                raise RowsNotWritten(f"column {name} has values that are the nullValue", fix="Use another nullValue.")
            if pa.types.is_string(column.type) or self._options.quote_all:
                text = self._quoted(text, name)
            found.append(pc.fill_null(text, null))
        self._write(found)

    def close(self) -> None:
        """Nothing is left to do."""

    def _text(self, column: pa.Array) -> pa.Array:
        text = column.cast(pa.string())
        if pa.types.is_floating(column.type):
            for arrows, sparks in _NAMES.items():
                text = pc.if_else(pc.equal(text, arrows), sparks, text)
        return text

    def _quoted(self, text: pa.Array, name: str) -> pa.Array:
        options = self._options
        needed = pc.match_substring_regex(text, self._special)
        if not (options.quote_all or pc.any(needed).as_py()):
            return text
        if not options.quote:
            raise RowsNotWritten(f"column {name} has values that need quotes", fix="Set the option quote.")
        inside = text
        for each in dict.fromkeys((options.escape, options.quote)):  # the escape first, or it would be escaped twice
            inside = pc.replace_substring(inside, each, options.escape + each)
        quoted = pc.binary_join_element_wise(options.quote, inside, options.quote, "")
        return quoted if options.quote_all else pc.if_else(needed, quoted, text)

    def _write(self, columns: list[pa.Array]) -> None:
        """Write rows of texts, a line feed behind each."""
        if not columns or not len(columns[0]):
            return
        lines = columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, self._options.delimiter)
        ends = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
        self._stream.write(pc.binary_join(ends, "\n")[0].as_buffer())
        self._stream.write(b"\n")
