"""The tree over the ledger's lines: RFC 6962 section 2, verified as RFC 9162 sections 2.1.3 and 2.1.4 say.

Pure. A leaf is one line, without its newline. The tree grows through its frontier, at most 64 hashes, so that a line
costs two or three hashes however long the ledger is. A proof is a list of subtrees, largest index last: whoever holds
the lines computes the hash of each subtree from them, in one pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

HASH_BYTES: Final = 32
MAX_PROOF_HASHES: Final = 128  # twice the height of a tree of 2^63 leaves
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"

Range = tuple[int, int]  # leaves from the first number up to, not including, the second
Proof = tuple[bytes, ...]


def leaf_hash(line: bytes) -> bytes:
    """Return the hash of one leaf: SHA-256 over 0x00 and the line."""
    return hashlib.sha256(_LEAF + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256 over 0x01 and both children."""
    return hashlib.sha256(_NODE + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree that can grow: its size and the roots of its perfect subtrees, the largest first."""

    size: int = 0
    peaks: Proof = ()

    def grown(self, leaf: bytes) -> Frontier:
        """Return the tree with one more leaf, given by its hash."""
        peaks, size = self.peaks, self.size
        kept, merged = len(peaks), leaf
        while size & 1:
            kept -= 1
            merged = node_hash(peaks[kept], merged)
            size >>= 1
        return Frontier(self.size + 1, (*peaks[:kept], merged))

    def root(self) -> bytes:
        """Return the hash of the whole tree."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def to_bytes(self) -> bytes:
        """Return the peaks behind each other; how many there are follows from the size."""
        return b"".join(self.peaks)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier | None:
        """Read what `to_bytes` wrote for a tree of `size` leaves; None if it is not of that length."""
        if not 0 <= size < 1 << 63 or len(data) != HASH_BYTES * size.bit_count():
            return None
        return cls(size, tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)))


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root of a tree, given the hashes of its leaves."""
    tree = Frontier()
    for leaf in leaves:
        tree = tree.grown(leaf)
    return tree.root()


def inclusion_ranges(index: int, size: int) -> tuple[Range, ...]:
    """Return the subtrees whose roots prove leaf `index` of a tree of `size` leaves (RFC 6962 section 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    low, high = 0, size
    ranges: list[Range] = []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    return tuple(reversed(ranges))


def consistency_ranges(old: int, new: int) -> tuple[Range, ...]:
    """Return the subtrees whose roots prove that a tree of `new` leaves begins as the one of `old` (section 2.1.2)."""
    if not 0 < old <= new:
        raise ValueError(f"a tree of {new} leaves cannot be compared with one of {old}")
    low, high, whole = 0, new, True
    ranges: list[Range] = []
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low, whole = middle, False
    if not whole:
        ranges.append((low, high))
    return tuple(reversed(ranges))


def prove(ranges: Sequence[Range], root: Callable[[int, int], bytes]) -> Proof:
    """Return the hashes of a proof; `root` gives the root over a range of leaves."""
    return tuple(root(low, high) for low, high in ranges)


def includes(leaf: bytes, index: int, *, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Return whether the proof puts this leaf (its hash) at `index` under `root` (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size or not _are_hashes(proof):
        return False
    fn, sn, found = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node_hash(sibling, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node_hash(found, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and compare_digest(found, root)


def extends(old: int, old_root: bytes, new: int, new_root: bytes, *, proof: Sequence[bytes]) -> bool:
    """Return whether the proof shows that the tree of `new` leaves begins with the old one (RFC 9162 2.1.4.2)."""
    if not 0 < old <= new or not _are_hashes(proof):
        return False
    if old == new:
        return not proof and compare_digest(old_root, new_root)
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and compare_digest(first, old_root) and compare_digest(second, new_root)


def _split(size: int) -> int:
    """Return the largest power of two smaller than `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _are_hashes(proof: Sequence[bytes]) -> bool:
    return len(proof) <= MAX_PROOF_HASHES and all(len(each) == HASH_BYTES for each in proof)
