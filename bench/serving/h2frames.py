"""Build and read the HTTP/2 frames that a gRPC client needs; pure. Sources: RFC 9113, RFC 7541, gRPC over HTTP/2.

Header blocks are literals without indexing, so that a request's HEADERS frame is the same bytes but for its stream.
Answers are decoded with `hpack`, once for each different block: servers repeat themselves.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, cast

import hpack

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 2, 4, 5
HEAD_BYTES: Final = 9
MAX_WINDOW: Final = 2**31 - 1

Headers = tuple[tuple[bytes, bytes], ...]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame (RFC 9113, section 4.1)."""
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def settings(values: Sequence[tuple[int, int]]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *each) for each in values))


def window_update(stream: int, size: int) -> bytes:
    """Return a WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


def integer(value: int, prefix_bits: int, first: int = 0) -> bytes:
    """Return an HPACK integer (RFC 7541, section 5.1); `first` holds the bits above the prefix."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = bytearray([first | limit]), value - limit
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def literal_block(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a header block of literals without indexing, no Huffman code (RFC 7541, section 6.2.2)."""
    parts = (b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value for name, value in headers)
    return b"".join(parts)


def grpc_headers(authority: str, path: str, *, secure: bool) -> Headers:
    """Return the request headers of a gRPC call."""
    return (
        (b":method", b"POST"),
        (b":scheme", b"https" if secure else b"http"),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"user-agent", b"strongroom-bench"),
    )


def grpc_body(message: bytes) -> bytes:
    """Return a message with gRPC's prefix: not compressed, length."""
    return struct.pack(">BI", 0, len(message)) + message


class Answers:
    """Reads a server's frames out of a stream of bytes: whole frames are handed out, the rest is kept."""

    def __init__(self) -> None:
        self._rest = b""

    def frames(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield (kind, flags, stream, payload) of every frame that is complete."""
        data = self._rest + data if self._rest else data
        at, end = 0, len(data)
        while at + HEAD_BYTES <= end:
            word, flags, stream = struct.unpack_from(">IBI", data, at)
            after = at + HEAD_BYTES + (word >> 8)
            if after > end:
                break
            yield word & 0xFF, flags, stream & MAX_WINDOW, data[at + HEAD_BYTES : after]
            at = after
        self._rest = data[at:]


def unpadded(flags: int, payload: bytes) -> bytes:
    """Return the content of a DATA or HEADERS frame without padding (section 6.1)."""
    return payload[1 : len(payload) - payload[0]] if flags & PADDED else payload


class Blocks:
    """Decodes one connection's header blocks, remembering those that changed no table."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=65536)
        self._known: dict[bytes, Headers] = {}

    def decode(self, block: bytes) -> Headers:
        """Return a block's headers."""
        known = self._known.get(block)
        if known is not None:
            return known
        before = self._table()
        found = cast("list[tuple[bytes, bytes]]", self._decoder.decode(block, raw=True))
        headers: Headers = tuple((bytes(name), bytes(value)) for name, value in found)
        if self._table() == before:
            self._known[block] = headers
        else:
            self._known.clear()  # what a block means may have changed
        return headers

    def _table(self) -> tuple[object, ...]:
        table = self._decoder.header_table
        return (table.maxsize, *table.dynamic_entries)
