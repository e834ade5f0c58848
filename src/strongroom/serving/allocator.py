"""Tell glibc's malloc to keep the memory of request bodies for the next ones.

By itself it maps a large block anew for each request, or gives the end of its heap back as soon as it is free: with
602 KB bodies up to 150 page faults a request, a third of its CPU time, and more inside an enclave. World: libc.
"""

from __future__ import annotations

import ctypes
from typing import Final

MAP_FROM_BYTES: Final = 16 * 1024 * 1024  # blocks from here on are mapped, and go back at once
KEEP_BYTES: Final = 32 * 1024 * 1024  # free memory at the end of the heap that stays
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_memory() -> bool:
    """Say so; return whether there was somebody to listen (another C library has no such call)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, MAP_FROM_BYTES) and mallopt(_TRIM_THRESHOLD, KEEP_BYTES))
