"""CBOR (RFC 8949) as far as RA-TLS needs it: definite lengths, bounded depth, every length checked before it is used.

Maps come back as pairs, so that the reader of a format sees duplicate keys. Any width of a number is read (libcbor
writes wide ones); the encoder writes the shortest, as Gramine does.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from strongroom.errors import StrongroomError
from strongroom.wire.reader import Malformed, Reader

MAX_CBOR_DEPTH: Final = 8

_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)  # RFC 8949 section 3.1: major types
_SIMPLE_VALUES: Final = {20: False, 21: True, 22: None, 23: None}  # null and undefined read alike


@dataclass(frozen=True, slots=True)
class Tag:
    """A tagged item: `number(content)` in diagnostic notation."""

    number: int
    content: Item


@dataclass(frozen=True, slots=True)
class Map:
    """A map as its pairs, in the order received; duplicates are not removed."""

    pairs: tuple[tuple[Item, Item], ...]


Item: TypeAlias = "int | bytes | str | float | bool | tuple[Item, ...] | Map | Tag | None"


def decode_first(
    data: bytes, *, what: str = "CBOR", error: Callable[[str], StrongroomError] = Malformed
) -> tuple[Item, int]:
    """Return the first item of `data` and the number of bytes it took; raise `error` for anything not well formed."""
    decoder = _Decoder(Reader(data, what=what, error=error), what, error)
    return decoder.item(MAX_CBOR_DEPTH), decoder.reader.position


def decode(data: bytes, *, what: str = "CBOR", error: Callable[[str], StrongroomError] = Malformed) -> Item:
    """Return the one item that `data` consists of; bytes after it are an error."""
    item, used = decode_first(data, what=what, error=error)
    if used != len(data):
        raise error(f"{what}: {len(data) - used} bytes are left over after the item")
    return item


@dataclass(frozen=True, slots=True)
class _Decoder:
    reader: Reader
    what: str
    error: Callable[[str], StrongroomError]

    def item(self, depth: int) -> Item:
        if depth == 0:
            raise self.error(f"{self.what} is nested deeper than {MAX_CBOR_DEPTH}")
        first = self.reader.u8("head")
        major, info = first >> 5, first & 0x1F
        if major == _SIMPLE:
            return self.simple(info)
        number = self.argument(info)
        if major == _UINT:
            return number
        if major == _NEGATIVE:
            return -1 - number
        if major == _BYTES:
            return self.reader.take(number, "byte string")
        if major == _TEXT:
            return self.text(number)
        if major == _TAG:
            return Tag(number, self.item(depth - 1))
        return self.container(major, number, depth - 1)

    def argument(self, info: int) -> int:
        """Read the number behind an item's head (section 3): 0 to 23 inline, or 1, 2, 4 or 8 bytes."""
        if info < 24:
            return info
        if info > 27:
            kind = "an indefinite length" if info == 31 else "a reserved head"
            raise self.error(f"{self.what} uses {kind} at offset {self.reader.position - 1}")
        return int.from_bytes(self.reader.take(1 << (info - 24), "number"), "big")

    def text(self, length: int) -> str:
        try:
            return self.reader.take(length, "text").decode("utf-8")
        except UnicodeDecodeError:
            raise self.error(f"{self.what} holds text that is not UTF-8") from None

    def container(self, major: int, count: int, depth: int) -> Item:
        per_entry = 2 if major == _MAP else 1
        if count * per_entry > self.reader.remaining:  # each item takes at least one byte
            raise self.error(f"{self.what} announces {count} entries with {self.reader.remaining} bytes left")
        if major == _MAP:
            return Map(tuple((self.item(depth), self.item(depth)) for _ in range(count)))
        return tuple(self.item(depth) for _ in range(count))

    def simple(self, info: int) -> Item:
        """Read a simple value or a float (section 3.3)."""
        if info in _SIMPLE_VALUES:
            return _SIMPLE_VALUES[info]
        if info in (25, 26, 27):
            form = {25: ">e", 26: ">f", 27: ">d"}[info]
            value: float = struct.unpack(form, self.reader.take(struct.calcsize(form), "float"))[0]
            return math.nan if math.isnan(value) else value
        raise self.error(f"{self.what} uses the simple value {info}, which has no meaning here")


def encode(item: Item) -> bytes:
    """Return the shortest definite-length encoding of `item`; floats are not written."""
    if item is None or isinstance(item, bool):
        return {False: b"\xf4", True: b"\xf5", None: b"\xf6"}[item]
    if isinstance(item, int):
        return _head(_UINT, item) if item >= 0 else _head(_NEGATIVE, -1 - item)
    if isinstance(item, bytes):
        return _head(_BYTES, len(item)) + item
    if isinstance(item, str):
        raw = item.encode("utf-8")
        return _head(_TEXT, len(raw)) + raw
    if isinstance(item, Tag):
        return _head(_TAG, item.number) + encode(item.content)
    if isinstance(item, Map):
        return _head(_MAP, len(item.pairs)) + b"".join(encode(key) + encode(value) for key, value in item.pairs)
    if isinstance(item, tuple):
        return _head(_ARRAY, len(item)) + b"".join(encode(entry) for entry in item)
    raise TypeError(f"CBOR is not written for {type(item).__name__}")


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * size):
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise ValueError("CBOR numbers end at 64 bits")
