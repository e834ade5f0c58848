"""Pieces of bytes as the file that Arrow reads."""

from __future__ import annotations

from collections.abc import Iterable
from io import RawIOBase
from typing import Final

BLOCK_BYTES: Final = 4 * 1024 * 1024


class Pieces(RawIOBase):
    """Reads pieces behind each other. What is wrong with them is raised by what makes them."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._pieces: Final = iter(pieces)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # which Python always gives
        """Read some bytes, 0 at the end. Raises what making a piece raises."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
