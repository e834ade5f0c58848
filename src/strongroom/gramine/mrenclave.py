"""Compute MRENCLAVE, the hash of an enclave's initial memory, from its layout.

Pure. The processor hashes one record for the enclave, one for each page that is added, and sixteen with 256 bytes each
for a page that is measured; here the same records are hashed. Source: Intel SDM volume 3D, section 38.1.4 (ECREATE,
EADD, EEXTEND); spec gramine.md section 10.5.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

from strongroom.gramine.layout import EXECUTE, PAGE, READ, REGULAR, SSA_FRAME_BYTES, WRITE, Layout

CHUNK: Final = 256  # bytes that one EEXTEND measures
RECORD_BYTES: Final = 64
HEAP_FLAGS: Final = REGULAR | READ | WRITE | EXECUTE

_ECREATE: Final = struct.Struct("<8sLQ44s")
_EADD: Final = struct.Struct("<8sQQ40s")
_EEXTEND: Final = struct.Struct("<8sQ48s256s")
_WINDOW_BITS: Final = 24  # heap records are written for 16 MiB at a time: in it, three address bytes vary
_WINDOW_PAGES: Final = (1 << _WINDOW_BITS) // PAGE


def mrenclave(layout: Layout) -> bytes:
    """Return the measurement (32 bytes) of an enclave with this layout."""
    base = layout.settings.base
    digest = hashlib.sha256(_ECREATE.pack(b"ECREATE", SSA_FRAME_BYTES // PAGE, layout.settings.enclave_size, b""))
    for area in layout.areas:
        for address, content in area.pages():
            digest.update(_page(address - base, area.flags, content))
    for address, flags, content in layout.pal_pages():
        digest.update(_page(address - base, flags, content))
    for start, end in layout.heap:
        _add_heap(digest, start - base, end - base)
    return digest.digest()


def _page(offset: int, flags: int, content: bytes) -> bytes:
    """Return the records of one measured page."""
    chunks = [_EEXTEND.pack(b"EEXTEND", offset + at, b"", content[at : at + CHUNK]) for at in range(0, PAGE, CHUNK)]
    return _EADD.pack(b"EADD", offset, flags, b"") + b"".join(chunks)


def _add_heap(digest: hashlib._Hash, start: int, end: int) -> None:
    """Hash the records of heap pages, which are added but not measured.

    There may be millions: the records of a window are made once, and from window to window the upper five bytes of
    all their addresses are overwritten.
    """
    records = bytearray(b"".join(_EADD.pack(b"EADD", page * PAGE, HEAP_FLAGS, b"") for page in range(_WINDOW_PAGES)))
    for window in range(start >> _WINDOW_BITS, ((end - 1) >> _WINDOW_BITS) + 1):
        for place, octet in enumerate(window.to_bytes(5, "little"), start=11):
            records[place::RECORD_BYTES] = bytes([octet]) * _WINDOW_PAGES
        lowest = window << _WINDOW_BITS
        first = (max(start, lowest) - lowest) // PAGE
        last = (min(end, lowest + (1 << _WINDOW_BITS)) - lowest) // PAGE
        digest.update(memoryview(records)[first * RECORD_BYTES : last * RECORD_BYTES])
