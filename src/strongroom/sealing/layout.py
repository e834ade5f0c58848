"""Where everything lies in a sealed file: sizes and tree arithmetic (Gramine's protected-file format, spec 1.1-1.3).

A file is a row of 4096-byte nodes: node 0 (metadata and the first 3072 plaintext bytes), then groups of one table
node and up to 96 data nodes. A table (Gramine: MHT, Merkle hash tree) holds the key and tag of its 96 data nodes and
of up to 32 child tables. Indices: `node` counts all nodes of the file, `data` the data nodes, `table` the tables,
each from 0.
"""

from __future__ import annotations

from typing import Final

NODE_BYTES: Final = 4096
HEAD_BYTES: Final = 3072  # plaintext that fits in node 0
KEY_BYTES: Final = 16
TAG_BYTES: Final = 16
ENTRY_BYTES: Final = KEY_BYTES + TAG_BYTES  # what a parent keeps of a child node
DATA_PER_TABLE: Final = 96
CHILDREN_PER_TABLE: Final = 32
GROUP_PLAIN_BYTES: Final = DATA_PER_TABLE * NODE_BYTES
DATA_ENTRIES_BYTES: Final = DATA_PER_TABLE * ENTRY_BYTES
MAX_SIZE: Final = 2**64 - 1  # file_size is a u64


def data_count(size: int) -> int:
    """Return how many data nodes a plaintext of `size` bytes needs."""
    return max(0, -(-(size - HEAD_BYTES) // NODE_BYTES))


def table_count(size: int) -> int:
    """Return how many tables a plaintext of `size` bytes needs."""
    return -(-data_count(size) // DATA_PER_TABLE)


def node_count(size: int) -> int:
    """Return how many nodes a sealed file of `size` plaintext bytes has."""
    return 1 + table_count(size) + data_count(size)


def sealed_size(size: int) -> int:
    """Return the bytes on disk of a freshly sealed plaintext of `size` bytes."""
    return NODE_BYTES * node_count(size)


def data_node(data: int) -> int:
    """Return the node of data node `data`."""
    return 2 + data + data // DATA_PER_TABLE


def table_node(table: int) -> int:
    """Return the node of table `table`."""
    return 1 + (DATA_PER_TABLE + 1) * table


def parent_of(table: int) -> tuple[int, int]:
    """Return the table that keeps `table` (> 0), and the byte at which its entry begins there."""
    parent, child = divmod(table - 1, CHILDREN_PER_TABLE)
    return parent, DATA_ENTRIES_BYTES + ENTRY_BYTES * child


def has_children(table: int, tables: int) -> bool:
    """Tell whether, of `tables` tables in all, some hang below `table`."""
    return CHILDREN_PER_TABLE * table + 1 < tables


def group_start(table: int) -> int:
    """Return the plaintext offset at which the data of `table` begins."""
    return HEAD_BYTES + GROUP_PLAIN_BYTES * table


def group_data_count(table: int, size: int) -> int:
    """Return how many data nodes `table` has in a plaintext of `size` bytes."""
    return max(0, min(DATA_PER_TABLE, data_count(size) - DATA_PER_TABLE * table))


def plain_size_range(length: int) -> tuple[int, int]:
    """Return the least and greatest plaintext size of a freshly sealed file of `length` bytes (a multiple of 4096)."""
    nodes = length // NODE_BYTES
    if nodes <= 1:
        return 0, HEAD_BYTES
    tables = -(-(nodes - 1) // (DATA_PER_TABLE + 1))
    data = nodes - 1 - tables
    return HEAD_BYTES + NODE_BYTES * (data - 1) + 1, HEAD_BYTES + NODE_BYTES * data
