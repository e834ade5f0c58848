"""Seal what comes in pieces, of a length that nobody knows before its end, into one sealed file.

Memory grows by 3 KiB with every 384 KiB written: which tables have others below them is known only at the end.
"""

from __future__ import annotations

import io
import os
from typing import Final, Self

from strongroom.analytics.sealing.folder import Draft
from strongroom.datasets.manifest import FileEntry
from strongroom.datasets.paths import check_data_path
from strongroom.sealing.keys import check_wrap_key
from strongroom.sealing.layout import (
    GROUP_PLAIN_BYTES,
    HEAD_BYTES,
    KEY_BYTES,
    NODE_BYTES,
    has_children,
    sealed_size,
    table_node,
)
from strongroom.sealing.nodes import NodeRun, seal_table
from strongroom.sealing.paths import stored_form
from strongroom.sealing.writer import Spine, write_node0
from strongroom.secret import Secret


class SealedWriter(io.RawIOBase):
    """A binary stream whose bytes become one sealed file of a data set; for one thread.

    `finish` returns what the manifest keeps of the file; a writer that is closed without it leaves nothing. Raises
    BadDataPath, BadStoredPath, WrapKeyLength, WeakKey.
    """

    def __init__(self, draft: Draft, key: Secret, *, stored_path: str) -> None:
        super().__init__()
        check_wrap_key(key)
        self._path: Final = check_data_path(stored_path)
        self._stored: Final = stored_form(stored_path)
        self._draft: Final = draft
        self._key: Final = key
        self._head: Final = bytearray()
        self._run: Final = NodeRun()
        self._filled = 0  # bytes of the group that is being filled
        self._entries: Final[list[bytes]] = []  # of every group that is sealed
        self._size = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed: any Buffer
        """Seal `data` behind what was written before; return its length in bytes."""
        if self.closed:
            raise ValueError("the sealed file is closed")
        view = memoryview(data).cast("B")
        length = len(view)
        self._size += length
        if len(self._head) < HEAD_BYTES:
            piece = view[: HEAD_BYTES - len(self._head)]
            self._head.extend(piece)
            view = view[len(piece) :]
        while view:
            piece = view[: GROUP_PLAIN_BYTES - self._filled]
            self._run.plain[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == GROUP_PLAIN_BYTES:
                self._seal_group()
        return length

    def finish(self) -> FileEntry:
        """Make the file durable under its name, and return its entry."""
        if self.closed:
            raise ValueError("the sealed file is closed")
        if self._filled:
            self._seal_group()
        root = self._seal_tables()
        summary = write_node0(
            _Head(bytes(self._head), self._size), self._draft, self._key, path=self._stored, root=root,
            entropy=os.urandom, version=1,
        )  # fmt: skip
        self._draft.commit()
        self.close()
        return FileEntry(self._path, sealed_size(self._size), summary.pin)

    def close(self) -> None:
        """End; without `finish`, nothing is left."""
        if not self.closed:
            super().close()
            self._run.plain[:] = bytes(len(self._run.plain))
            self._draft.discard()

    def __enter__(self) -> Self:
        return self

    def _seal_group(self) -> None:
        count = -(-self._filled // NODE_BYTES)
        self._run.plain[self._filled : count * NODE_BYTES] = bytes(count * NODE_BYTES - self._filled)
        table = len(self._entries)
        self._entries.append(bytes(self._run.seal(count, os.urandom(KEY_BYTES * count))))
        self._draft.write_at(self._run.sealed[: count * NODE_BYTES], (table_node(table) + 1) * NODE_BYTES)
        self._filled = 0

    def _seal_tables(self) -> bytes:
        spine, tables = Spine(self._size), len(self._entries)
        for table, entries in enumerate(self._entries):
            if has_children(table, tables):
                spine.place(table, entries)
                continue
            sealed, entry = seal_table(entries.ljust(NODE_BYTES, b"\0"), os.urandom(KEY_BYTES))
            self._draft.write_at(sealed, table_node(table) * NODE_BYTES)
            spine.place(table, entry)
        self._entries.clear()
        return spine.finish(self._draft, os.urandom)


class _Head:
    """The first bytes of what was written, as the `Source` that node 0 is written from."""

    def __init__(self, head: bytes, size: int) -> None:
        self._head, self.size = head, size

    def read_into(self, room: memoryview, offset: int) -> int:
        """Fill `room` from the head."""
        piece = self._head[offset : offset + len(room)]
        room[: len(piece)] = piece
        return len(piece)
