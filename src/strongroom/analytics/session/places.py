"""Folders in memory, for what must not reach a disk: sockets of agents, Spark's secret of one application, examples.

World: folders. Each is locked while its process lives: one that was killed leaves what the next one takes away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom.analytics.session.storage import is_in_memory
from strongroom.errors import Refused

PREFIX: Final = "strongroom-agent-"
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
    with held_folder(memory_folder(named), PREFIX) as folder:
        yield folder


@contextmanager
def held_folder(place: Path, prefix: str) -> Iterator[Path]:
    """Lend a fresh folder in `place`, 0700, which is gone afterwards; those of killed processes go first."""
    sweep(place, prefix)
    made = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=place))
    try:
        with _locked(made):
            folder = made = made.rename(place / made.name[1:])  # under this name it is locked from the beginning
            yield folder
    finally:
        shutil.rmtree(made, ignore_errors=True)


def sweep(place: Path, prefix: str = PREFIX) -> None:
    """Remove what processes of this user left there that were killed: nobody holds their folders' locks any more."""
    for path in place.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), _locked(path):  # in use, somebody else's, or just being removed
            if path.stat().st_uid == os.getuid():
                shutil.rmtree(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which goes with the process. Raises BlockingIOError where somebody else has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
