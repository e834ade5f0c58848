"""gRPC's own headers and compression: timeouts, encodings, and which calls are refused. Pure.

Codes and texts are those of grpcio's server, so that a client cannot tell the two fronts apart; where the gRPC
specification says otherwise (an unknown encoding is UNIMPLEMENTED, a second message INTERNAL) the specification wins.
Source: "gRPC over HTTP2" (PROTOCOL-HTTP2.md) and "Compression", spec `serving-performance.md` section 2.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

from strongroom.serving.http2.grpc_frames import percent_encoded
from strongroom.serving.status import BadCall, NotOffered, Overloaded

ACCEPTED_ENCODINGS: Final = b"identity, deflate, gzip"
METHOD_NOT_FOUND: Final = "Method not found!"
DEADLINE_PASSED: Final = "Deadline Exceeded"
_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_WINDOW: Final = {b"gzip": 31, b"deflate": 15}
_MAX_TIMEOUT_S: Final = 10.0**8  # about three years; a loop's clock still counts with it


class UnknownEncoding(NotOffered):
    """A call is compressed in a way that this server does not know."""

    code = "SR-GRPC-ENCODING"
    fix = "Send messages as they are, or compressed with gzip or deflate."


class MessageTooLarge(Overloaded):
    """A message is larger than the server takes."""

    code = "SR-GRPC-TOO-LARGE"
    fix = "Send smaller batches, or start the server with a larger --max_message_bytes."


def timeout_of(text: bytes) -> float:
    """Return the seconds of a grpc-timeout header, 0 for one that has passed. Raises BadCall."""
    digits, unit = text[:-1], _UNITS.get(text[-1:])
    if unit is None or not digits.isdigit() or len(digits) > 20:
        raise BadCall("Error parsing 'grpc-timeout' metadata")
    return min(int(digits) * unit, _MAX_TIMEOUT_S)


def encoding_of(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the encoding that the call's messages may have. Raises UnknownEncoding."""
    encoding = headers.get(b"grpc-encoding", b"identity")
    if encoding != b"identity" and encoding not in _WINDOW:
        shown = encoding[:40].decode("latin-1")
        raise UnknownEncoding(f"Compression algorithm '{shown}' not implemented: {ACCEPTED_ENCODINGS.decode()}")
    return encoding


def check_te(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a call whose `te` is not gRPC's. Raises BadCall."""
    if headers.get(b"te", b"trailers") != b"trailers":
        raise BadCall("Error parsing 'te' metadata")


def is_grpc(content_type: bytes) -> bool:
    """Return whether a content type is gRPC's: application/grpc, with a suffix or parameters."""
    head = content_type[:16].lower()
    return head == b"application/grpc" and content_type[16:17] in {b"", b"+", b";"}


def expanded(message: bytes | memoryview, encoding: bytes, *, max_bytes: int) -> bytes:
    """Return a message whose compressed-flag is set without its compression, of `max_bytes` at most.

    Raises BadCall, MessageTooLarge.
    """
    window = _WINDOW.get(encoding)
    if window is None:
        raise BadCall("Compression bit set but no encoding configured")
    expander = zlib.decompressobj(wbits=window)
    try:
        plain = expander.decompress(message, max_bytes + 1)
    except zlib.error:
        raise BadCall("Decompression failed due to zlib error") from None
    if len(plain) > max_bytes:
        raise MessageTooLarge("Decompressed message larger than max")
    if not expander.eof or expander.unused_data:
        raise BadCall("Decompression failed due to zlib error")
    return plain


def unknown_encoding_headers(text: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of the answer to an unknown encoding, which names those that are known."""
    return (
        (b"content-type", b"application/grpc"),
        (b"grpc-status", b"12"),
        (b"grpc-message", percent_encoded(text)),
        (b"grpc-accept-encoding", ACCEPTED_ENCODINGS),
    )
