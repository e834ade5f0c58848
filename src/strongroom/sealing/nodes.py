"""Sealing and opening runs of nodes: AES-128-GCM, one key per node, IV zero (spec 1). The hot loops are here.

The speed comes from what is not done: views are cut once per buffer, nothing is copied, and the tag that GCM writes
behind a ciphertext is read off before the next node overwrites it (opening runs backwards for the same reason).
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.errors import Tampered
from strongroom.sealing.layout import DATA_PER_TABLE, ENTRY_BYTES, KEY_BYTES, NODE_BYTES, TAG_BYTES
from strongroom.sealing.node0 import ZERO_IV

Buffer = bytes | bytearray | memoryview


class RootTampered(Tampered):
    """The root table (node 1) is not the one that node 0 vouches for."""

    code = "SR-SEALED-ROOT"
    fix = "The file was changed or mixed with another version: get it again from its owner."
    kind = "mac_mismatch(root_mht)"


class TableTampered(Tampered):
    """A table node is not the one that its parent vouches for."""

    code = "SR-SEALED-TABLE"
    fix = "The file was changed or mixed with another version: get it again from its owner."
    kind = "mac_mismatch(mht)"


class DataTampered(Tampered):
    """A data node is not the one that its table vouches for."""

    code = "SR-SEALED-DATA"
    fix = "The file was changed or mixed with another version: get it again from its owner."
    kind = "corrupted(data)"


def seal_table(table: Buffer, key: bytes) -> tuple[bytes, bytes]:
    """Return the ciphertext (4096 bytes) of a table node and the entry (32 bytes) that its parent keeps."""
    sealed = AESGCM(key).encrypt(ZERO_IV, table, None)
    return sealed[:NODE_BYTES], key + sealed[NODE_BYTES:]


def open_table(sealed: Buffer, entry: Buffer, *, table: int, node: int) -> bytes:
    """Return the 4096 bytes of table `table`, stored as node `node`; raises `RootTampered` or `TableTampered`."""
    try:
        return AESGCM(entry[:KEY_BYTES]).decrypt(ZERO_IV, b"".join((sealed, entry[KEY_BYTES:])), None)
    except InvalidTag:
        kind = TableTampered if table else RootTampered
        raise kind(f"table {table} (node {node}) does not match the tag that its parent keeps") from None


class NodeRun:
    """Room for a run of up to `capacity` data nodes, as plaintext and as ciphertext. Not for two threads at once."""

    __slots__ = ("_slots", "plain", "sealed")

    def __init__(self, capacity: int = DATA_PER_TABLE) -> None:
        self.plain: Final = memoryview(bytearray(capacity * NODE_BYTES))
        self.sealed: Final = memoryview(bytearray(capacity * NODE_BYTES + TAG_BYTES))
        self._slots: Final = [
            (
                self.plain[at : at + NODE_BYTES],
                self.sealed[at : at + NODE_BYTES + TAG_BYTES],
                self.sealed[at + NODE_BYTES : at + NODE_BYTES + TAG_BYTES],
            )
            for at in range(0, capacity * NODE_BYTES, NODE_BYTES)
        ]

    def seal(self, count: int, keys: bytes) -> bytearray:
        """Seal the first `count` nodes of `plain` into `sealed` under `keys` (16 bytes each, fresh).

        Returns their entries, 32 bytes each. The 16 bytes behind the last ciphertext are scratch.
        """
        entries = bytearray()
        at = 0
        for plain, sealed, tag in self._slots[:count]:
            key = keys[at : at + KEY_BYTES]
            at += KEY_BYTES
            AESGCM(key).encrypt_into(ZERO_IV, plain, None, sealed)
            entries += key
            entries += tag
        return entries

    def open(self, count: int, entries: bytes, *, node: int) -> memoryview:
        """Verify and open the first `count` nodes of `sealed`; the first of them is node `node` of the file.

        Returns the plaintext, a view that the next call overwrites. If any node fails, `DataTampered` is raised and
        no plaintext of the run is handed out.
        """
        for index in range(count - 1, -1, -1):
            plain, sealed, tag = self._slots[index]
            at = index * ENTRY_BYTES
            tag[:] = entries[at + KEY_BYTES : at + ENTRY_BYTES]
            try:
                AESGCM(entries[at : at + KEY_BYTES]).decrypt_into(ZERO_IV, sealed, None, plain)
            except InvalidTag:
                self.plain[:] = bytes(len(self.plain))  # GCM decrypts before it verifies
                raise DataTampered(f"data node {node + index} does not match the tag that its table keeps") from None
        return self.plain[: count * NODE_BYTES]
