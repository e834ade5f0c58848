"""Arrow's IPC stream, as much of it as records and results use: framing, schema, record batches as views. Pure.

Reads what others wrote without trusting it: nothing is allocated by a number in the data, every buffer lies inside
its message, and buffers together are no larger than it. Compressed bodies, dictionaries and extension types are
refused. Sources: Arrow Columnar Format 1.5 ("Encapsulated message format", `Message.fbs`, `Schema.fbs`) and
FlatBuffers' internals.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import add
from typing import Final

from strongroom.clusterserving.faults import BadRecord

CONTINUATION: Final = b"\xff\xff\xff\xff"
END: Final = CONTINUATION + bytes(4)
MAX_SCHEMA_BYTES: Final = 256 * 1024
CACHED_SCHEMA_BYTES: Final = 8 * 1024  # larger ones are read anew each time, so that the cache stays small
MAX_FIELDS: Final = 1024  # with their children: 64 columns of nine
MAX_NAME_BYTES: Final = 512
MAX_DEPTH: Final = 4
_SCHEMA, _BATCH = 1, 3  # Message.fbs, MessageHeader
_VERSIONS: Final = (3, 4)  # V4 and V5
_NODES_BUFFERS: Final = {"int32": (1, 2), "float32": (1, 2), "binary": (1, 3), "string": (1, 3), "list": (1, 2),
                         "struct": (1, 1)}  # fmt: skip
_CHILDREN: Final = {"list": range(1, 2), "struct": range(1, MAX_FIELDS)}
_U16, _I32, _U32, _I64 = struct.Struct("<H"), struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<q")


@dataclass(frozen=True, slots=True)
class Field:
    """A column or a child: its name, its kind (a key of `_NODES_BUFFERS`), its children."""

    name: str
    kind: str
    children: tuple[Field, ...] = ()

    @property
    def form(self) -> str:
        """The kind with those of the children, by name where they have one that counts."""
        inner = ",".join(f"{each.name}:{each.form}" if self.kind == "struct" else each.form for each in self.children)
        return f"{self.kind}<{inner}>" if inner else self.kind


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a stream, how many nodes and buffers a batch of them has, and those of each column.

    `columns`: the field, its form, and the numbers of its first node and buffer.
    """

    columns: tuple[tuple[Field, str, int, int], ...]
    nodes: int
    buffers: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A record batch in the order of Message.fbs: nodes (length, null count) and buffers (offset, size), both flat.

    `offset` counts from `body`, a place in the stream's data; every buffer lies inside them.
    """

    body: int
    rows: int
    nodes: tuple[int, ...]
    buffers: tuple[int, ...]


def read_stream(data: bytes, *, max_batches: int) -> tuple[Schema, list[Batch]]:
    """Read a whole stream. Raises BadRecord for whatever is none, or uses more of Arrow than records do."""
    try:
        return _read_stream(data, max_batches)
    except (struct.error, IndexError, UnicodeDecodeError):
        raise BadRecord("an Arrow message is cut short, or is none") from None


def _read_stream(data: bytes, max_batches: int) -> tuple[Schema, list[Batch]]:
    meta, at = _message(data, 0)
    if not meta:
        raise BadRecord("the data do not begin with an Arrow schema")
    schema = _cached_schema(meta) if len(meta) <= CACHED_SCHEMA_BYTES else _read_schema(meta)
    batches: list[Batch] = []
    while at < len(data):
        batch, size = usual_batch(data, at, schema)
        if batch is None:
            meta, body = _message(data, at)
            if not meta:
                break
            size = _body_size(meta)
            batch = _read_batch(meta, body, schema)
        if not 0 <= size <= len(data) - batch.body:
            raise BadRecord("the body of an Arrow message ends after the data")
        _check_buffers(batch, size)
        if len(batches) == max_batches:
            raise BadRecord(f"the data hold more Arrow record batches than {max_batches}")
        batches.append(batch)
        at = batch.body + size
    return schema, batches


def _message(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the metadata of the message at a place, empty at the end of the stream, and where its body begins."""
    if at == len(data):
        return b"", at
    if data[at : at + 4] == CONTINUATION:  # absent before Arrow 0.15
        at += 4
    (size,) = _U32.unpack_from(data, at)
    if size > min(MAX_SCHEMA_BYTES, len(data) - at - 4):
        raise BadRecord("the head of an Arrow message is larger than it may be, or than the data")
    return data[at + 4 : at + 4 + size], at + 4 + size


def _body_size(meta: bytes) -> int:
    place = _field(meta, _U32.unpack_from(meta)[0], 3)
    return int(_I64.unpack_from(meta, place)[0]) if place else 0


def _field(meta: bytes, table: int, slot: int) -> int:
    """Return the place of a table's field, 0 where it is absent. All places are positive: nothing wraps around."""
    vtable = table - _I32.unpack_from(meta, table)[0]
    if vtable < 0:
        raise IndexError
    if 4 + 2 * slot + 2 > _U16.unpack_from(meta, vtable)[0]:
        return 0
    (offset,) = _U16.unpack_from(meta, vtable + 4 + 2 * slot)
    return table + offset if offset else 0


def _pointed(meta: bytes, place: int) -> int:
    """Return where an offset points to."""
    return place + int(_U32.unpack_from(meta, place)[0])


def _header(meta: bytes, kind: int) -> int:
    """Return the place of a message's header, which must be of a kind."""
    message = _U32.unpack_from(meta)[0]
    its_kind, header = _field(meta, message, 1), _field(meta, message, 2)
    if _u16(meta, message, 0) not in _VERSIONS:
        raise BadRecord("the Arrow message has a version other than 4 and 5 of its format")
    if not header or not its_kind or meta[its_kind] != kind:
        raise BadRecord("the Arrow stream holds more than a schema and record batches (dictionaries are not read)")
    return _pointed(meta, header)


def _read_schema(meta: bytes) -> Schema:
    if b"ARROW:extension" in meta:
        raise BadRecord("Arrow extension types are not read")
    schema = _header(meta, _SCHEMA)
    if _u16(meta, schema, 0):  # endianness
        raise BadRecord("big-endian Arrow data are not read")
    left = [MAX_FIELDS]
    fields = tuple(_read_field(meta, place, left, 0) for place in _vector(meta, _field(meta, schema, 1), left))
    columns: list[tuple[Field, str, int, int]] = []
    nodes, buffers = 0, 0
    for field in fields:
        columns.append((field, field.form, nodes, buffers))
        for each in _all((field,)):
            nodes, buffers = nodes + _NODES_BUFFERS[each.kind][0], buffers + _NODES_BUFFERS[each.kind][1]
    return Schema(tuple(columns), nodes, buffers)


_cached_schema = lru_cache(maxsize=256)(_read_schema)


def _vector(meta: bytes, place: int, left: list[int]) -> list[int]:
    """Return the places of the tables in a vector; `left` is how many more the schema may have."""
    if not place:
        return []
    start = _pointed(meta, place)
    (count,) = _U32.unpack_from(meta, start)
    left[0] -= count
    if left[0] < 0:
        raise BadRecord(f"the Arrow schema has more than {MAX_FIELDS} fields")
    return [_pointed(meta, start + 4 + 4 * index) for index in range(count)]


def _read_field(meta: bytes, table: int, left: list[int], depth: int) -> Field:
    name, kind = _field(meta, table, 0), _kind(meta, table)
    if _field(meta, table, 4):
        raise BadRecord("Arrow dictionaries are not read")
    places = _vector(meta, _field(meta, table, 5), left)
    if len(places) not in _CHILDREN.get(kind, range(1)) or depth == MAX_DEPTH:
        raise BadRecord(f"an Arrow field of type {kind} has {len(places)} children")
    children = tuple(_read_field(meta, place, left, depth + 1) for place in places)
    return Field(_text(meta, name), kind, children)


def _kind(meta: bytes, table: int) -> str:
    number, place = _field(meta, table, 2), _field(meta, table, 3)
    of = _pointed(meta, place) if place else 0
    match meta[number] if number else 0:
        case 2 if of and _i32(meta, of, 0) == 32 and _byte(meta, of, 1):
            return "int32"
        case 3 if of and _u16(meta, of, 0) == 1:
            return "float32"
        case 4:
            return "binary"
        case 5:
            return "string"
        case 12:
            return "list"
        case 13:
            return "struct"
        case other:
            raise BadRecord(f"Arrow type {other} of this width is not read (int32, float32, string, binary are)")


def _i32(meta: bytes, table: int, slot: int) -> int:
    place = _field(meta, table, slot)
    return int(_I32.unpack_from(meta, place)[0]) if place else 0


def _u16(meta: bytes, table: int, slot: int) -> int:
    place = _field(meta, table, slot)
    return int(_U16.unpack_from(meta, place)[0]) if place else 0


def _byte(meta: bytes, table: int, slot: int) -> int:
    place = _field(meta, table, slot)
    return meta[place] if place else 0


def _text(meta: bytes, place: int) -> str:
    if not place:
        return ""
    start = _pointed(meta, place)
    (size,) = _U32.unpack_from(meta, start)
    if size > MAX_NAME_BYTES:
        raise BadRecord(f"the name of an Arrow field has more than {MAX_NAME_BYTES} bytes")
    if size > len(meta) - start - 4:
        raise IndexError
    return meta[start + 4 : start + 4 + size].decode()


def _all(fields: tuple[Field, ...]) -> Iterator[Field]:
    for field in fields:
        yield field
        yield from _all(field.children)


def _read_batch(meta: bytes, body: int, schema: Schema) -> Batch:
    batch = _header(meta, _BATCH)
    rows, nodes, buffers, compression = (_field(meta, batch, slot) for slot in range(4))
    if compression:
        raise BadRecord("compressed Arrow data are not read")
    said = int(_I64.unpack_from(meta, rows)[0]) if rows else 0
    return Batch(body, said, _longs(meta, nodes, schema.nodes), _longs(meta, buffers, schema.buffers))


def _check_buffers(batch: Batch, size: int) -> None:
    """Raises BadRecord where a number is negative, a buffer leaves the body, or buffers share bytes to grow."""
    offsets, lengths = batch.buffers[::2], batch.buffers[1::2]
    if batch.rows < 0 or min(batch.nodes, default=0) < 0 or min(batch.buffers, default=0) < 0:
        raise BadRecord("a number in an Arrow record batch is negative")
    if sum(lengths) > size or max(map(add, offsets, lengths), default=0) > size:
        raise BadRecord("the buffers of an Arrow record batch are larger than its body")


def _longs(meta: bytes, place: int, count: int) -> tuple[int, ...]:
    """Return a vector of structs of two 64-bit numbers, flat; there must be as many as the schema has."""
    if not place:
        found = 0
    else:
        start = _pointed(meta, place)
        (found,) = _U32.unpack_from(meta, start)
    if found != count:
        raise BadRecord("an Arrow record batch has other arrays than its schema")
    return struct.unpack_from(f"<{2 * count}q", meta, start + 4) if count else ()


# What Arrow's C++ puts before the buffers of a record batch: the Message's vtable and table, then the RecordBatch's.
_HEAD: Final = struct.Struct("<4sII4x6HIxBHIq2x5HiIIq4xI")
_MESSAGE: Final = (20, 12, 22, 6, 5, 8, 12, 12, _BATCH, 4, 24)
_RECORD_BATCH: Final = (10, 24, 12, 4, 8, 10)


def usual_batch(data: bytes, at: int, schema: Schema) -> tuple[Batch | None, int]:
    """Return a batch whose metadata lie as `write_batch` lays them, and the size of its body; None for any other."""
    if len(data) - at < _HEAD.size:
        return None, 0
    head = _HEAD.unpack_from(data, at)
    nodes, buffers = 2 * schema.nodes, 2 * schema.buffers
    wanted = (28 + 8 * buffers, 16, schema.buffers)
    if (
        head[0] != CONTINUATION
        or head[1] != 88 + 8 * (nodes + buffers)
        or head[2:13] != _MESSAGE
        or head[14:20] != _RECORD_BATCH
        or (head[20], head[21], head[23]) != wanted
    ):
        return None, 0
    numbers = struct.unpack_from(f"<{buffers}q4xI{nodes}q", data, at + _HEAD.size)
    if numbers[buffers] != schema.nodes:
        return None, 0
    return Batch(at + 8 + head[1], head[22], numbers[buffers + 1 :], numbers[:buffers]), head[13]


def write_batch(rows: int, nodes: tuple[int, ...], parts: list[bytes | memoryview]) -> list[bytes | memoryview]:
    """Return the pieces of a record batch message: nodes (length, null count) flat, and the content of each buffer.

    The bytes are those that Arrow's C++ writes: metadata version 5, buffers at multiples of eight.
    """
    pieces: list[bytes | memoryview] = []
    buffers: list[int] = []
    at = 0
    for part in parts:
        size = len(part)
        buffers += at, size
        if size:
            pieces.append(part)
            at += size
            if padding := -size % 8:
                pieces.append(bytes(padding))
                at += padding
    counted = len(parts)
    head = _HEAD.pack(
        CONTINUATION, 88 + 8 * (len(buffers) + len(nodes)), *_MESSAGE, at, *_RECORD_BATCH, 28 + 16 * counted, 16, rows,
        counted,
    )  # fmt: skip
    table = struct.pack(f"<{len(buffers)}q4xI{len(nodes)}q", *buffers, len(nodes) // 2, *nodes)
    return [head, table, *pieces]
