"""TFRecord files: length, data, and a masked CRC-32C of each. Pure.

Source: spec `model-server.md` section 8; the texts are TensorFlow's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from strongroom.errors import BadInput
from strongroom.tfserving.crc32c import crc32c

_LENGTH: Final = struct.Struct("<QI")
_CHECKSUM: Final = struct.Struct("<I")
_MASK: Final = 0xA282EAD8


class BadRecordFile(BadInput):
    """A file of records is cut off, damaged, or not in TFRecord format."""

    code = "SR-TFRECORD"
    fix = "Write the file again with tf.io.TFRecordWriter, without compression."


def read_records(data: bytes) -> Iterator[memoryview]:
    """Yield the records of a file, as views of it. Raises BadRecordFile at the first one that does not hold."""
    view, position = memoryview(data), 0
    while position < len(view):
        start = position
        if len(view) - position < _LENGTH.size:
            raise BadRecordFile(f"truncated record at {start}")
        length, checksum = _LENGTH.unpack_from(view, position)
        if _masked(view[position : position + 8]) != checksum:
            hint = " (Is this even a TFRecord file?)" if start == 0 else ""
            raise BadRecordFile(f"corrupted record at {start}{hint}")
        position += _LENGTH.size
        if length > len(view) - position - _CHECKSUM.size:
            raise BadRecordFile(f"truncated record at {start}")
        record = view[position : position + length]
        position += length
        if _CHECKSUM.unpack_from(view, position)[0] != _masked(record):
            raise BadRecordFile(f"corrupted record at {start}")
        position += _CHECKSUM.size
        yield record


def write_records(records: Iterable[bytes]) -> bytes:
    """Return a file of `records`."""
    parts: list[bytes] = []
    for record in records:
        length = len(record).to_bytes(8, "little")
        parts += (length, _CHECKSUM.pack(_masked(length)), record, _CHECKSUM.pack(_masked(record)))
    return b"".join(parts)


def _masked(data: bytes | memoryview) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF
