"""A bounded reader over bytes: it hands out exactly what was asked for, or says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from strongroom.errors import BadInput, StrongroomError


class Malformed(BadInput):
    """Bytes do not follow their format: too short, too long, or a length that points outside."""

    code = "SR-MALFORMED"
    fix = "Check that the file or message is complete and of the expected kind."


class Reader:
    """Walk `data` front to back. `error` makes the exception for every shortage, so that a format keeps its own code.

    Python slices clamp silently; this class is the only place that slices hostile bytes.
    """

    __slots__ = ("_data", "_end", "_error", "_position", "what")

    def __init__(
        self, data: bytes | memoryview, *, what: str = "input", error: Callable[[str], StrongroomError] = Malformed
    ) -> None:
        self._data = data if type(data) is bytes else memoryview(data).toreadonly().cast("B")
        self._position = 0
        self._end = len(self._data)
        self._error = error
        self.what = what

    @property
    def position(self) -> int:
        """Bytes consumed so far."""
        return self._position

    @property
    def remaining(self) -> int:
        """Bytes not consumed yet."""
        return self._end - self._position

    def take(self, count: int, field: str) -> bytes:
        """Return exactly `count` bytes, copied."""
        start, stop = self._position, self._position + count
        if not start <= stop <= self._end:
            raise self._shortage(count, field)
        self._position = stop
        piece = self._data[start:stop]
        return piece if type(piece) is bytes else bytes(piece)

    def view(self, count: int, field: str) -> memoryview:
        """Return exactly `count` bytes without copying."""
        start, stop = self._position, self._position + count
        if not start <= stop <= self._end:
            raise self._shortage(count, field)
        self._position = stop
        return memoryview(self._data)[start:stop]

    def _number(self, count: int, field: str, order: Literal["little", "big"]) -> int:
        start, stop = self._position, self._position + count
        if stop > self._end:
            raise self._shortage(count, field)
        self._position = stop
        return int.from_bytes(self._data[start:stop], order)

    def _shortage(self, count: int, field: str) -> StrongroomError:
        return self._error(
            f"{self.what}: {field} needs {count} bytes at offset {self._position}, {self.remaining} are left"
        )

    def u8(self, field: str) -> int:
        """Return one byte as an unsigned number."""
        return self._number(1, field, "little")

    def u16(self, field: str) -> int:
        """Return an unsigned 16-bit number, little-endian."""
        return self._number(2, field, "little")

    def u32(self, field: str) -> int:
        """Return an unsigned 32-bit number, little-endian."""
        return self._number(4, field, "little")

    def u64(self, field: str) -> int:
        """Return an unsigned 64-bit number, little-endian."""
        return self._number(8, field, "little")

    def u16_be(self, field: str) -> int:
        """Return an unsigned 16-bit number, big-endian."""
        return self._number(2, field, "big")

    def u32_be(self, field: str) -> int:
        """Return an unsigned 32-bit number, big-endian."""
        return self._number(4, field, "big")

    def rest(self) -> bytes:
        """Return everything that is left, copied; may be empty."""
        return self.take(self.remaining, "rest")

    def expect_end(self) -> None:
        """Raise if bytes are left over."""
        if self.remaining:
            raise self._error(f"{self.what}: {self.remaining} bytes are left over after offset {self._position}")
