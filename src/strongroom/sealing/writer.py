"""Sealing: groups in any order, then the inner tables from the last to the first, then node 0 (spec 1.7).

Memory stays flat: a table without children is sealed with its group and shrinks to the 32 bytes its parent keeps;
only inner tables (one in 32) wait for the end. Every node gets a fresh key from `entropy(count) -> bytes`, which is
asked in this order: per group 16 bytes for each data node and 16 for its table if that has no children; then 16 bytes
for each inner table from the last to the first; then 32 bytes for the nonce of node 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Final

from strongroom.sealing.keys import NONCE_BYTES, check_wrap_key
from strongroom.sealing.layout import (
    DATA_ENTRIES_BYTES,
    ENTRY_BYTES,
    GROUP_PLAIN_BYTES,
    HEAD_BYTES,
    KEY_BYTES,
    NODE_BYTES,
    group_data_count,
    group_start,
    has_children,
    parent_of,
    sealed_size,
    table_count,
    table_node,
)
from strongroom.sealing.node0 import NO_ROOT, Metadata, seal_metadata
from strongroom.sealing.nodes import NodeRun, seal_table
from strongroom.sealing.paths import stored_form
from strongroom.sealing.reader import Summary
from strongroom.sealing.source import MemorySink, MemorySource, Sink, Source, read_exactly
from strongroom.secret import Secret

Entropy = Callable[[int], bytes]


class GroupSealer:
    """Seals one group after the other: reads its plaintext, writes its nodes, returns what the tree must remember."""

    def __init__(self, source: Source, sink: Sink, *, size: int, entropy: Entropy) -> None:
        self._source = source
        self._sink = sink
        self._size = size
        self._tables = table_count(size)
        self._entropy = entropy
        self._run = NodeRun(group_data_count(0, size))

    def seal(self, table: int) -> bytes:
        """Seal the group of `table`.

        Returns the entry of the finished table (32 bytes), or, for a table with children, its data entries (3072
        bytes): such a table is sealed by `Spine.finish`.
        """
        count = group_data_count(table, self._size)
        start = group_start(table)
        length = min(self._size - start, count * NODE_BYTES)
        read_exactly(self._source, self._run.plain[:length], start)
        self._run.plain[length : count * NODE_BYTES] = bytes(count * NODE_BYTES - length)
        entries = self._run.seal(count, self._entropy(KEY_BYTES * count))
        node = table_node(table)
        self._sink.write_at(self._run.sealed[: count * NODE_BYTES], (node + 1) * NODE_BYTES)
        if has_children(table, self._tables):
            return bytes(entries)
        sealed, entry = seal_table(entries.ljust(NODE_BYTES, b"\0"), self._entropy(KEY_BYTES))
        self._sink.write_at(sealed, node * NODE_BYTES)
        return entry


class Spine:
    """The inner tables of a file that is being sealed; results may come in any order."""

    def __init__(self, size: int) -> None:
        self._tables: Final = table_count(size)
        self._inner: Final[defaultdict[int, bytearray]] = defaultdict(lambda: bytearray(NODE_BYTES))
        self._root = NO_ROOT

    def place(self, table: int, result: bytes) -> None:
        """Take what `GroupSealer.seal(table)` returned."""
        if has_children(table, self._tables):
            self._inner[table][:DATA_ENTRIES_BYTES] = result
        else:
            self._keep(table, result)

    def place_all(self, groups: range, results: bytes) -> None:
        """Take what sealing `groups` returned, joined."""
        at = 0
        for table in groups:
            end = at + (DATA_ENTRIES_BYTES if has_children(table, self._tables) else ENTRY_BYTES)
            self.place(table, results[at:end])
            at = end

    def _keep(self, table: int, entry: bytes) -> None:
        if table == 0:
            self._root = entry
            return
        parent, at = parent_of(table)
        self._inner[parent][at : at + ENTRY_BYTES] = entry

    def finish(self, sink: Sink, entropy: Entropy) -> bytes:
        """Seal and write the inner tables, children before parents; return the entry of the root table."""
        for table in sorted(self._inner, reverse=True):
            sealed, entry = seal_table(self._inner.pop(table), entropy(KEY_BYTES))
            sink.write_at(sealed, table_node(table) * NODE_BYTES)
            self._keep(table, entry)
        return self._root


def write_node0(
    source: Source, sink: Sink, key: Secret, *, path: bytes, root: bytes, entropy: Entropy, version: int
) -> Summary:
    """Seal and write node 0 over the first bytes of `source`, bound to `path` (a `stored_form`)."""
    head = bytearray(min(source.size, HEAD_BYTES))
    read_exactly(source, memoryview(head), 0)
    metadata = Metadata(path=path, size=source.size, root=root, head=bytes(head))
    node0 = seal_metadata(metadata, key, nonce=entropy(NONCE_BYTES), version=version)
    sink.write_at(node0, 0)
    return Summary.of(node0, metadata)


def copy_sealed(source: Source, sink: Sink, *, size: int, node0: bytes) -> None:
    """Copy the nodes that a plaintext of `size` bytes needs, with `node0` in place of the first."""
    end = sealed_size(size)
    room = memoryview(bytearray(min(end, GROUP_PLAIN_BYTES)))
    for offset in range(NODE_BYTES, end, len(room)):
        piece = room[: end - offset]
        read_exactly(source, piece, offset)
        sink.write_at(piece, offset)
    sink.write_at(node0, 0)


def seal_bytes(data: bytes, key: Secret, *, stored_path: str, entropy: Entropy, version: int = 1) -> bytes:
    """Return the sealed file of `data`, bound to the normalised `stored_path`; raises WeakKey, BadStoredPath."""
    check_wrap_key(key)
    path = stored_form(stored_path)
    source, sink, spine = MemorySource(data), MemorySink(), Spine(len(data))
    sealer = GroupSealer(source, sink, size=len(data), entropy=entropy)
    sink.write_at(bytes(NODE_BYTES), 0)
    for table in range(table_count(len(data))):
        spine.place(table, sealer.seal(table))
    root = spine.finish(sink, entropy)
    write_node0(source, sink, key, path=path, root=root, entropy=entropy, version=version)
    return bytes(sink.data)
