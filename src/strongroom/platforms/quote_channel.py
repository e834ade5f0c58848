"""The private channel between a launched program and its launcher: length-framed messages over a socket pair.

Pure (sans-IO). u32 little-endian length, then 64 bytes of report data one way and a quote the other way.
"""

from __future__ import annotations

from typing import Final

from strongroom.errors import BadInput

_LENGTH_BYTES: Final = 4


class ChannelBroken(BadInput):
    """A message on the quote channel has a length that no such message can have."""

    code = "SR-QUOTE-CHANNEL"
    fix = "Use one version of Strongroom on both ends of the quote channel."


def frame(message: bytes) -> bytes:
    """Return a message as it travels."""
    return len(message).to_bytes(_LENGTH_BYTES, "little") + message


class Frames:
    """Cut a stream into messages of `smallest` to `largest` bytes."""

    def __init__(self, *, smallest: int, largest: int) -> None:
        self._smallest, self._largest = smallest, largest
        self._buffer = bytearray()

    def receive(self, data: bytes) -> list[bytes]:
        """Return the messages that `data` completes; raise ChannelBroken for an impossible length."""
        self._buffer += data
        found = []
        while (size := self._next_size()) is not None and len(self._buffer) >= _LENGTH_BYTES + size:
            found.append(bytes(self._buffer[_LENGTH_BYTES : _LENGTH_BYTES + size]))
            del self._buffer[: _LENGTH_BYTES + size]
        return found

    def _next_size(self) -> int | None:
        if len(self._buffer) < _LENGTH_BYTES:
            return None
        size = int.from_bytes(self._buffer[:_LENGTH_BYTES], "little")
        if not self._smallest <= size <= self._largest:
            raise ChannelBroken(f"a message of {size} bytes; {self._smallest} to {self._largest} are possible")
        return size
