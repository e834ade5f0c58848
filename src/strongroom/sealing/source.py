"""Where sealed and plain bytes come from and go to: the two small Protocols of the room, and their twins in memory."""

from __future__ import annotations

import io
from typing import BinaryIO, Final, Protocol

from strongroom.errors import BadInput


class ChangedMeanwhile(BadInput):
    """The input changed its size or content while it was being read."""

    code = "SR-INPUT-CHANGED"
    fix = "Wait until nothing writes to the input, then run again."


class Source(Protocol):
    """Bytes that can be read anywhere."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read_into(self, room: memoryview, offset: int) -> int:
        """Fill `room` with the bytes from `offset` on; return how many there were (fewer only at the end)."""


class Sink(Protocol):
    """A place to which bytes can be written anywhere."""

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`."""


class MemorySource:
    """A `Source` over bytes."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data: Final = memoryview(data).cast("B")

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self._data)

    def read_into(self, room: memoryview, offset: int) -> int:
        """Copy into `room` what there is from `offset` on."""
        piece = self._data[offset : offset + len(room)]
        room[: len(piece)] = piece
        return len(piece)


class StreamSource:
    """A `Source` over a seekable binary stream, which nobody else may move meanwhile."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: Final = stream
        self._size: Final = stream.seek(0, io.SEEK_END)

    @property
    def size(self) -> int:
        """How many bytes there were when the source was made."""
        return self._size

    def read_into(self, room: memoryview, offset: int) -> int:
        """Seek to `offset` and read until `room` is full or the stream ends."""
        self._stream.seek(offset)
        filled = 0
        while filled < len(room):
            piece = self._stream.read(len(room) - filled)
            if not piece:
                break
            room[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled


class MemorySink:
    """A `Sink` into a growing bytearray."""

    def __init__(self) -> None:
        self.data: Final = bytearray()

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write `data` at `offset`; a gap is filled with zeros."""
        if len(self.data) < offset:
            self.data.extend(bytes(offset - len(self.data)))
        self.data[offset : offset + len(data)] = data


def read_exactly(source: Source, room: memoryview, offset: int) -> None:
    """Fill `room` from `offset`, or raise `ChangedMeanwhile`: sizes were checked before."""
    got = source.read_into(room, offset)
    if got != len(room):
        raise ChangedMeanwhile(f"the input ended at byte {offset + got}, where {len(room) - got} more were expected")
