"""Folders in memory, for what must never reach a disk: sockets of agents, Spark's secret of one application.

World: folders.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom.analytics.submit.storage import is_in_memory
from strongroom.errors import Refused

CANDIDATES: Final = ("/dev/shm", "/run/strongroom", "/run")  # noqa: S108  # tmpfs wherever Linux has them


class NoMemoryFolder(Refused):
    """There is no folder in memory for what must not reach a disk."""

    code = "SR-AGENT-MEMORY"
    fix = "Mount a tmpfs where this user may write, such as /dev/shm, or name one with --memory DIR."


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
