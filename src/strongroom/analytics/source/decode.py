"""Lines of text as Arrow batches. Everything goes in large pieces; no row is touched in Python."""

from __future__ import annotations

from collections.abc import Iterator
from io import RawIOBase
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from strongroom.analytics.source.blocks import BLOCK_BYTES
from strongroom.analytics.source.faults import BadRows

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
TEXT_COLUMN: Final = "value"


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
