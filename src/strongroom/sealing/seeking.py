"""A position in a file of known size, as binary streams have it. Pure."""

from __future__ import annotations

import io
from typing import Final


class Seeking(io.RawIOBase):
    """A binary stream over `size` bytes that can seek; whoever derives from it reads from `_position` on."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size: Final = size
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, which may lie beyond the end; return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}.get(whence)
        if base is None or base + offset < 0:
            raise ValueError(f"cannot seek to {offset} (whence {whence})")
        self._position = base + offset
        return self._position
