"""The random-access reader: a sealed file as an ordinary binary stream that opens only the nodes it touches (spec 1.6).

Pure over any `Source`. No plaintext leaves before the tag of its node and of every table above it was verified.
"""

from __future__ import annotations

import hmac
import io
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from strongroom.sealing.keys import check_wrap_key
from strongroom.sealing.layout import (
    DATA_PER_TABLE,
    ENTRY_BYTES,
    HEAD_BYTES,
    NODE_BYTES,
    data_count,
    data_node,
    node_count,
    parent_of,
    table_node,
)
from strongroom.sealing.node0 import (
    Metadata,
    Truncated,
    UnfinishedWrite,
    WrongPin,
    open_metadata,
    parse_header,
    pin_of,
)
from strongroom.sealing.nodes import NodeRun, open_table
from strongroom.sealing.paths import check_path, to_text
from strongroom.sealing.seeking import Seeking
from strongroom.sealing.source import MemorySource, Source, read_exactly
from strongroom.secret import Secret

CACHED_TABLES: Final = 64  # 4 KiB each: all of a 25 MB file, and every inner table of a 12 GB one


class SealedTree:
    """The verified tree below one root entry: tables through a bounded cache, data nodes by runs."""

    def __init__(self, source: Source, *, root: bytes, size: int) -> None:
        self._source = source
        self._root = root
        self.size = size
        self._tables: OrderedDict[int, bytes] = OrderedDict()
        self._run: NodeRun | None = None
        self._held = range(0)  # data nodes whose plaintext the run holds

    def table(self, table: int) -> bytes:
        """Return the verified 4096 bytes of a table, descending from the root as far as needed."""
        known = self._tables.get(table)
        if known is not None:
            self._tables.move_to_end(table)
            return known
        entry = self._root
        if table:
            parent, at = parent_of(table)
            entry = self.table(parent)[at : at + ENTRY_BYTES]
        node = table_node(table)
        sealed = bytearray(NODE_BYTES)
        read_exactly(self._source, memoryview(sealed), node * NODE_BYTES)
        self._tables[table] = plain = open_table(sealed, entry, table=table, node=node)
        if len(self._tables) > CACHED_TABLES:
            self._tables.popitem(last=False)
        return plain

    def data(self, first: int, count: int) -> memoryview:
        """Return the verified plaintext of `count` data nodes of one group from `first` on, until the next call."""
        if self._run is None:
            self._run = NodeRun(min(DATA_PER_TABLE, data_count(self.size)))
        if not (self._held.start <= first and first + count <= self._held.stop):
            self._held = range(0)
            table, entry = divmod(first, DATA_PER_TABLE)
            entries = self.table(table)[entry * ENTRY_BYTES : (entry + count) * ENTRY_BYTES]
            node = data_node(first)
            read_exactly(self._source, self._run.sealed[: count * NODE_BYTES], node * NODE_BYTES)
            self._run.open(count, entries, node=node)
            self._held = range(first, first + count)
        at = (first - self._held.start) * NODE_BYTES
        return self._run.plain[at : at + count * NODE_BYTES]

    def forget(self) -> None:
        """Drop cached tables (node keys) and plaintext."""
        self._tables.clear()
        self._run = None
        self._held = range(0)

    def pieces(self, offset: int, stop: int) -> Iterator[memoryview]:
        """Yield the plaintext from `offset` (>= 3072) to `stop` (<= size) in order, at most one group at a time."""
        while offset < stop:
            first = (offset - HEAD_BYTES) // NODE_BYTES
            last = (stop - 1 - HEAD_BYTES) // NODE_BYTES
            last = min(last, first - first % DATA_PER_TABLE + DATA_PER_TABLE - 1)
            begin = HEAD_BYTES + first * NODE_BYTES
            piece = self.data(first, last - first + 1)[offset - begin : stop - begin]
            yield piece
            offset += len(piece)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What may be said of a sealed file once its node 0 is open: stored path, plaintext size, format version, pin."""

    stored_path: str
    size: int
    version: int
    pin: bytes
    pending_write: bool

    @classmethod
    def of(cls, node0: bytes, metadata: Metadata) -> Summary:
        """Summarise `metadata`, which was opened from (or sealed into) `node0`."""
        header = parse_header(node0, length=len(node0))
        return cls(stored_path=to_text(metadata.path), size=metadata.size, version=header.major, pin=pin_of(node0),
                   pending_write=header.pending_write)  # fmt: skip


class SealedReader(Seeking):
    """A sealed file, opened: `read`, `readinto`, `seek`, `tell`, `size`; a context manager. For one thread at a time.

    `read(n)` is never short before the end, so wrapping it in a BufferedReader is useful only for many tiny reads.
    """

    def __init__(
        self, tree: SealedTree, metadata: Metadata, summary: Summary, close: Callable[[], None] | None
    ) -> None:
        super().__init__(metadata.size)
        self.summary: Final = summary
        self.metadata: Final = metadata
        self.stored_path: Final = summary.stored_path
        self.tree: Final = tree
        self._close = close

    def pieces(self, count: int) -> Iterator[memoryview]:
        """Yield the next `count` bytes (fewer at the end) as verified views, each valid until the next, and move on."""
        if self.closed:
            raise ValueError("the sealed file is closed")
        stop = min(self.size, self._position + count)
        if self._position < min(stop, HEAD_BYTES):
            yield self._forward(memoryview(self.metadata.head)[self._position : min(stop, HEAD_BYTES)])
        if self._position < stop:
            for piece in self.tree.pieces(self._position, stop):
                yield self._forward(piece)

    def _forward(self, piece: memoryview) -> memoryview:
        self._position += len(piece)
        return piece

    def readinto(self, room: memoryview | bytearray) -> int:  # type: ignore[override]  # typeshed wants any Buffer
        """Fill `room` from the current position; return how many bytes there were."""
        view = memoryview(room).cast("B")
        filled = 0
        for piece in self.pieces(len(view)):
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled

    def read(self, size: int | None = -1) -> bytes:
        """Return the next `size` bytes, or all that are left; fewer only at the end."""
        whole = size is None or size < 0
        out = io.BytesIO()  # getvalue() hands its buffer over without another copy
        for piece in self.pieces(max(0, self.size - self._position) if whole else size or 0):
            out.write(piece)
        return out.getvalue()

    def readall(self) -> bytes:
        """Return all that is left."""
        return self.read()

    def close(self) -> None:
        """Forget cached keys and plaintext, and close what lies below."""
        if not self.closed:
            super().close()
            self.tree.forget()
            if self._close is not None:
                self._close()


def open_source(
    source: Source,
    key: Secret,
    *,
    stored_path: str | None,
    strict: bool = False,
    pin: bytes | None = None,
    weak_key: bool = False,
    close: Callable[[], None] | None = None,
) -> SealedReader:
    """Open a sealed file over `source`, in the order of spec 1.6.

    `stored_path=None` skips the path check, by name. `pin` (32 bytes) is compared before anything is used. `strict`
    refuses a set pending-write flag. `weak_key` admits a publicly known key.
    """
    check_wrap_key(key, weak_key=weak_key)
    node0 = bytearray(NODE_BYTES)
    got = source.read_into(memoryview(node0), 0)
    # 1-4. Length, magic, version.
    header = parse_header(bytes(node0[:got]), length=source.size)
    if pin is not None and not hmac.compare_digest(pin_of(bytes(node0)), pin):
        raise WrongPin(f"the file's pin is {pin_of(bytes(node0)).hex()}, wanted {pin.hex()}")
    if strict and header.pending_write:
        raise UnfinishedWrite("the file's pending-write flag is set: a write was cut off")
    # 5. The metadata tag, under the wrap key.
    metadata = open_metadata(header, key)
    # 6. The path, if asked.
    if stored_path is not None:
        check_path(metadata.path, stored_path)
    # Every node that the size needs is there, before anything is allocated for it.
    needed = node_count(metadata.size) * NODE_BYTES
    if source.size < needed:
        raise Truncated(f"the file has {source.size} bytes, its plaintext of {metadata.size} needs {needed}")
    # 7. The root table's tag.
    tree = SealedTree(source, root=metadata.root, size=metadata.size)
    if metadata.size > HEAD_BYTES:
        tree.table(0)
    return SealedReader(tree, metadata, Summary.of(bytes(node0), metadata), close)


def unseal_bytes(data: bytes, key: Secret, *, stored_path: str | None) -> bytes:
    """Return the plaintext of a whole sealed file in memory; `stored_path=None` skips the path check, by name."""
    with open_source(MemorySource(data), key, stored_path=stored_path) as reader:
        return reader.read()
