"""gRPC's framing of messages in a body: one byte "compressed", four bytes of length, the message.

For streaming methods, whose pieces a session hands out as they come; unary ones arrive whole.
"""

from __future__ import annotations

from typing import NamedTuple

from strongroom.errors import BadInput

PREFIX_BYTES = 5
MAX_TEXT = 4096  # characters of a grpc-message; libnghttp2 sends no header block beyond 64 KiB, and clients take less


class BadGrpcFraming(BadInput):
    """A gRPC message announces more bytes than are allowed, or a compression flag that does not exist."""

    code = "SR-GRPC-FRAMING"
    fix = "Send smaller messages, or raise --rpc_max_message_bytes."


class Message(NamedTuple):
    """One message of a stream."""

    compressed: bool
    data: bytes


class MessageReader:
    """Pieces in, whole messages out; holds at most one message of `max_bytes` and a piece."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = bytearray()

    @property
    def empty(self) -> bool:
        """Whether the stream stands between two messages, where it may end."""
        return not self._held

    def receive(self, chunk: bytes) -> list[Message]:
        """Take a piece; return the messages it completes. Raises BadGrpcFraming."""
        self._held += chunk
        messages, at = [], 0
        while len(self._held) - at >= PREFIX_BYTES:
            flag, length = self._held[at], int.from_bytes(self._held[at + 1 : at + PREFIX_BYTES], "big")
            if flag > 1 or length > self._max_bytes:
                raise BadGrpcFraming(
                    f"a gRPC message has flag {flag} and {length} bytes; at most {self._max_bytes} are taken"
                )
            end = at + PREFIX_BYTES + length
            if len(self._held) < end:
                break
            messages.append(Message(flag == 1, bytes(self._held[at + PREFIX_BYTES : end])))
            at = end
        del self._held[:at]
        return messages


def prefixed(length: int) -> bytes:
    """Return the prefix of an uncompressed message of `length` bytes."""
    return b"\x00" + length.to_bytes(4, "big")


def percent_encoded(text: str) -> bytes:
    """Encode the value of grpc-message: printable ASCII but "%" stays, other UTF-8 becomes %XX; long texts are cut."""
    text = text[:MAX_TEXT]
    raw = text.encode("utf-8", "replace")
    if raw.isascii() and b"%" not in raw and text.isprintable():
        return raw
    return b"".join(b"%c" % byte if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte for byte in raw)
