"""A stored file under a manifest's SHA-256: what is read of it, whenever it is, are the bytes that were committed.

World: the file, by way of `Stored`. Reading it through once and trusting it from then on would not do: on a disk
somebody can write into the file after that, and in an object store put another one in its place. So each piece's own
digest is kept (32 bytes for 256 KiB), and compared each time a piece is read.
"""

from __future__ import annotations

import hashlib
from typing import Final

from strongroom.analytics.sealing.folder import Stored
from strongroom.datasets.manifest import DataFilesChanged, FileEntry
from strongroom.sealing.seeking import Seeking

PIECE_BYTES: Final = 256 * 1024


class CheckedReader(Seeking):
    """A binary stream that can seek; it owns what it reads from. Raises DataFilesChanged when made, or read."""

    def __init__(self, stored: Stored, entry: FileEntry) -> None:
        super().__init__(entry.size)
        self._stored: Final = stored
        self._entry: Final = entry
        self._piece: Final = bytearray(PIECE_BYTES)
        self._held = -1  # the number of the piece that is in there
        try:
            self._digests: Final = self._checked()
        except BaseException:
            self.close()  # now, and not when the garbage is collected
            raise

    def readinto(self, room: memoryview | bytearray) -> int:  # type: ignore[override]  # typeshed wants any Buffer
        """Fill `room` from the current position; return how many bytes there were."""
        view, done = memoryview(room).cast("B"), 0
        while done < len(view) and self._position < self._entry.size:
            number, at = divmod(self._position, PIECE_BYTES)
            self._hold(number)
            count = min(len(view) - done, PIECE_BYTES - at, self._entry.size - self._position)
            view[done : done + count] = memoryview(self._piece)[at : at + count]
            done, self._position = done + count, self._position + count
        return done

    def close(self) -> None:
        """Close what lies below."""
        if not self.closed:
            super().close()
            self._stored.close()

    def _checked(self) -> tuple[bytes, ...]:
        """Read all of it. Returns the digests of its pieces, if those together are what was committed."""
        whole, found, room = hashlib.sha256(), list[bytes](), memoryview(self._piece)
        while len(found) * PIECE_BYTES < self._entry.size:
            got = self._stored.read_into(room, len(found) * PIECE_BYTES)
            whole.update(room[:got])
            found.append(hashlib.sha256(room[:got]).digest())
            if got < PIECE_BYTES:
                break
        if self._stored.size != self._entry.size or whole.digest() != self._entry.pin:
            raise DataFilesChanged(f"{self._entry.path} is not the file that was written, or an older one")
        return tuple(found)

    def _hold(self, number: int) -> None:
        if number == self._held:
            return
        self._held = -1
        room = memoryview(self._piece)[: min(PIECE_BYTES, self._entry.size - number * PIECE_BYTES)]
        got = self._stored.read_into(room, number * PIECE_BYTES)
        if hashlib.sha256(room[:got]).digest() != self._digests[number]:
            raise DataFilesChanged(f"{self._entry.path} was changed while it was read")
        self._held = number
