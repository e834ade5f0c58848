"""Where data sets lie: the small Protocol that any file system can fulfil, and the one of this machine.

World: files below one folder. Paths are relative with / between the parts, as manifests have them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final, Protocol, Self

from strongroom.datasets.manifest import MAX_FILES, DataFilesChanged
from strongroom.datasets.paths import MAX_DEPTH, is_note
from strongroom.pki import disk
from strongroom.sealing.disk import SEALED_MODE, Descriptor, InputFile, open_named

BEHIND_BYTES: Final = 48 * 1024 * 1024
_REMOVALS: Final = 1000  # each fails only where somebody made a file meanwhile


class Stored(Protocol):
    """An open file to read anywhere: a `sealing.Source` that can be closed."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read_into(self, room: memoryview, offset: int) -> int:
        """Fill `room` with the bytes from `offset` on; return how many there were (fewer only at the end)."""

    def close(self) -> None:
        """Close it."""


class Draft(Protocol):
    """A new file, which has no name until `commit`, and none at all after `discard`. A `sealing.Sink`."""

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`."""

    def commit(self) -> None:
        """Make it durable under its name."""

    def discard(self) -> None:
        """Let it vanish, unless it was committed."""


class Place(Protocol):
    """What is asked of a folder of data files to check and to commit a data set, on any file system."""

    def sizes(self) -> dict[str, int]:
        """Return path -> bytes of every file below but notes (paths.is_note). Raises DataFilesChanged for too many."""

    def read(self, path: str, *, limit: int) -> bytes:
        """Return a small file. Raises FileNotFoundError, FileTooLong."""

    def replace(self, path: str, data: bytes) -> None:
        """Write a small file in one step, over what is there, and make it durable."""

    def take(self, below: str, paths: Sequence[str]) -> None:
        """Move files from a folder in it to the same paths in itself, which are free; folders on the way are made."""

    def sync(self, paths: Sequence[str]) -> None:
        """Make files and their names durable, as far as the file system does not by itself."""

    def remove(self, *paths: str) -> None:
        """Remove files, and folders with all below them; what is not there counts as removed."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold off others who commit to this folder, as far as the file system can."""

    def __str__(self) -> str:
        """Where it is, for people."""


class Folder(Place, Protocol):
    """A folder whose files are read and written here."""

    def open(self, path: str) -> Stored:
        """Open a file. Raises FileNotFoundError or OSError."""

    def make(self, path: str) -> None:
        """Make a folder in it, as far as the file system has folders."""

    def create(self, path: str, *, folders: bool = True) -> Draft:
        """Begin a file; folders on the way to it are made, if `folders` says so.

        Otherwise its folder has to be there, now and when the draft is committed, or there is a FileNotFoundError: a
        task that outlives its job brings back nothing of what the job has removed.
        """


class LocalDraft(Descriptor):
    """A new file of this machine."""

    def __init__(self, target: Path) -> None:
        self._target: Final = target
        self._open, self._behind = True, 0
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd, name = open_named(folder, SEALED_MODE)
        finally:
            os.close(folder)
        self._temporary: Final = target.parent / name
        super().__init__(fd)

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`; of a large file, little stays in the page cache (see `leave_behind`)."""
        super().write_at(data, offset)
        self._behind += len(data)
        if self._behind >= BEHIND_BYTES:
            self._behind = 0
            os.fdatasync(self.fd)  # only what is written can be forgotten
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def commit(self) -> None:
        """Make it durable under its name."""
        os.fsync(self.fd)
        self._temporary.replace(self._target)
        self._end()
        disk.sync_folder(self._target.parent)

    def discard(self) -> None:
        """Let it vanish, unless it was committed."""
        if self._open:
            self._temporary.unlink(missing_ok=True)
            self._end()

    def _end(self) -> None:
        self._open = False
        self.close()


class LocalFolder:
    """A folder of this machine. It travels between processes as its path."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(path)

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        """Travel as the path."""
        return type(self), (os.fspath(self.path),)

    def __str__(self) -> str:
        return str(self.path)

    def sizes(self) -> dict[str, int]:
        """Return path -> bytes of every file below but notes. Raises DataFilesChanged for too many."""
        found = {}
        for path, size in _walk(self.path, "", MAX_DEPTH):
            found[path] = size
            if len(found) > MAX_FILES:
                raise DataFilesChanged(f"{self} has more than {MAX_FILES} files")
        return found

    def read(self, path: str, *, limit: int) -> bytes:
        """Return a small file. Raises FileNotFoundError, FileTooLong."""
        return disk.read_bounded(self.path / path, limit=limit)

    def open(self, path: str) -> InputFile:
        """Open a file. Raises FileNotFoundError, NotAFile."""
        return InputFile(self.path / path)

    def make(self, path: str) -> None:
        """Make a folder in it."""
        self._place(path).mkdir(exist_ok=True)

    def create(self, path: str, *, folders: bool = True) -> LocalDraft:
        """Begin a file; folders on the way to it are made, if `folders` says so. Raises FileNotFoundError."""
        return LocalDraft(self._place(path) if folders else self._inside(path))

    def replace(self, path: str, data: bytes) -> None:
        """Write a small file in one step, over what is there."""
        disk.replace_public(self._place(path), data)

    def take(self, below: str, paths: Sequence[str]) -> None:
        """Move files from a folder in it to the same paths in itself. Raises FileExistsError for one that is taken."""
        for path in paths:
            target = self._place(path)
            if os.path.lexists(target):
                raise FileExistsError(f"{target} is there already")
            self._inside(f"{below}/{path}").rename(target)

    def sync(self, paths: Sequence[str]) -> None:
        """Make files and their names survive a power cut."""
        for path in paths:
            descriptor = os.open(self._inside(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        folders = {parent for path in paths for parent in PurePosixPath(path).parents}
        for folder in sorted(folders, reverse=True):  # those below before those above
            disk.sync_folder(self.path / folder)

    def remove(self, *paths: str) -> None:
        """Remove files, and folders with all below them; what is not there counts as removed."""
        for path in paths:
            place = self._inside(path)
            if place.is_dir() and not place.is_symlink():
                _remove_folder(place)
            else:
                place.unlink(missing_ok=True)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold off other processes of this machine that commit here."""
        self.path.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _place(self, path: str) -> Path:
        place = self._inside(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _inside(self, path: str) -> Path:
        """Return a place to change: never one behind a link, by which who keeps the folder could reach elsewhere."""
        place = self.path
        for part in path.split("/")[:-1]:
            place /= part
            if place.is_symlink():
                raise DataFilesChanged(f"{place} is a link; a data set has none")
        return self.path / path


def as_folder(place: str | os.PathLike[str] | Folder) -> Folder:
    """Return a folder as such: a path is one of this machine."""
    return LocalFolder(place) if isinstance(place, str | os.PathLike) else place


def _remove_folder(folder: Path) -> None:
    """Remove a folder with all below it, while others may still be at work in it: they end when it is gone."""
    for _ in range(_REMOVALS):
        try:
            shutil.rmtree(folder)
        except OSError as problem:
            if problem.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
        if not folder.exists():
            return
    raise OSError(errno.ENOTEMPTY, "others go on writing", str(folder))


def _walk(folder: Path, prefix: str, depth: int) -> Iterator[tuple[str, int]]:
    if depth == 0:
        raise DataFilesChanged(f"{folder} lies deeper than data does")
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            if is_note(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder / entry.name, f"{path}/", depth - 1)
            else:
                yield path, entry.stat(follow_symlinks=False).st_size
