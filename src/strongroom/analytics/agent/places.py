"""Folders in memory, for what must never reach a disk: sockets of agents, Spark's secret of one application.

World: the mounts of this machine.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom.errors import Refused

MOUNTS: Final = Path("/proc/self/mounts")
CANDIDATES: Final = ("/dev/shm", "/run/strongroom", "/run")  # noqa: S108  # tmpfs wherever Linux has them
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


class NoMemoryFolder(Refused):
    """There is no folder in memory for what must not reach a disk."""

    code = "SR-AGENT-MEMORY"
    fix = "Mount a tmpfs where this user may write, such as /dev/shm, or name one with --memory DIR."


def is_in_memory(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Whether a folder lies on a file system that is memory; its own mount counts, not those around it."""
    found, kind, path = "", "", str(folder.resolve())
    for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        _, place, this, *_ = line.split(" ")
        place = _OCTAL.sub(lambda match: chr(int(match[1], 8)), place)
        inside = path == place or path.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(found):  # later mounts cover earlier ones
            found, kind = place, this
    return kind in _IN_MEMORY


def memory_folder(named: Path | None = None, candidates: Sequence[str] = CANDIDATES) -> Path:
    """Return a folder in memory that this user may write: the named one, or the first. Raises NoMemoryFolder."""
    for folder in [named] if named is not None else map(Path, candidates):
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK) and is_in_memory(folder):
            return folder
    where = str(named) if named is not None else ", ".join(candidates)
    raise NoMemoryFolder(f"nothing among {where} is a folder in memory where this user may write")


@contextmanager
def private_folder(named: Path | None = None) -> Iterator[Path]:
    """Lend a fresh folder in memory, 0700, which is gone afterwards. Raises NoMemoryFolder."""
    folder = Path(tempfile.mkdtemp(prefix="strongroom-", dir=memory_folder(named)))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
