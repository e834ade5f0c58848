"""Pieces of bytes as the file that Arrow reads."""

from __future__ import annotations

from collections.abc import Iterable
from io import RawIOBase
from typing import Final

BLOCK_BYTES: Final = 4 * 1024 * 1024


class Pieces(RawIOBase):
    """Reads pieces, none of them empty, behind each other. What is wrong with them is raised by what makes them."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._pieces: Final = iter(pieces)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # which Python always gives
        """Fill a buffer, but at the end: Arrow takes less for the end of a row. Raises what making a piece raises."""
        filled = 0
        while filled < len(buffer):
            if not self._left:
                self._left = memoryview(next(self._pieces, b""))
                if not self._left:
                    break
            count = min(len(buffer) - filled, len(self._left))
            buffer[filled : filled + count] = self._left[:count]
            self._left = self._left[count:]
            filled += count
        return filled
