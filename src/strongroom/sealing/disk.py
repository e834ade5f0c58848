"""Files to read from, and files that get their name only when they are whole. World: the file system.

Output is written to a file without a name (O_TMPFILE), fsynced, and linked to the name it is to have: killed at any
system call, a run leaves the whole output or nothing. Two cases need a temporary name in the same folder, and a run
that is killed leaves it: for the moment between two system calls, where the output replaces a file (nothing else can
do that in one step); for as long as it writes, where the file system has no O_TMPFILE. Such a file is locked while
its process lives; the next run that writes into the folder removes those that nobody holds any more.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from strongroom.errors import BadInput
from strongroom.sealing.source import ChangedMeanwhile

SEALED_MODE: Final = 0o644
PLAIN_MODE: Final = 0o600
NEW_FILE: Final = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_ON_ITS_WAY: Final = re.compile(r"\.strongroom-[0-9a-f]{16}\.part", re.ASCII)
_swept: set[tuple[int, int]] = set()  # folders, by device and inode: once a process is enough, they can be large


class BadOutput(BadInput):
    """The output of a file command is the input, a symbolic link, a folder or a device."""

    code = "SR-OUTPUT"
    fix = "Name a file to be made (or an ordinary file to be replaced) in an existing folder."


class NotAFile(BadInput):
    """The input of a file command is a folder, a device or a pipe."""

    code = "SR-NOT-A-FILE"
    fix = "Name an ordinary file: its size must be known before the first byte is read."


class Descriptor:
    """An open file as `Source` and `Sink`."""

    def __init__(self, fd: int) -> None:
        self.fd: Final = fd
        self.stat: Final = os.fstat(fd)
        self.size: Final = self.stat.st_size  # when it was opened
        self._is_closed = False

    def read_into(self, room: memoryview, offset: int) -> int:
        """Fill `room` with the bytes from `offset` on; return how many there were."""
        filled = 0
        while filled < len(room) and (got := os.preadv(self.fd, [room[filled:]], offset + filled)):
            filled += got
        return filled

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self.fd, view, offset)
            view, offset = view[written:], offset + written

    def close(self) -> None:
        """Close the file; once, as another file may have its number by then."""
        if not self._is_closed:
            self._is_closed = True
            os.close(self.fd)


class InputFile(Descriptor):
    """An ordinary file to read from."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))  # a pipe must not hang us
        self.path: Final = path
        if not stat.S_ISREG(self.stat.st_mode):
            self.close()
            raise NotAFile(f"{os.fspath(path)} is not an ordinary file")

    def check_unchanged(self) -> None:
        """Raise `ChangedMeanwhile` if somebody wrote to the file since it was opened."""
        now = os.fstat(self.fd)
        if (now.st_size, now.st_mtime_ns) != (self.stat.st_size, self.stat.st_mtime_ns):
            raise ChangedMeanwhile(f"{os.fspath(self.path)} was written to while it was being read")


class OutputFile(Descriptor):
    """A file that becomes `target` at `commit()` and vanishes without it; a context manager.

    Raises `BadOutput` where `target` is anything but new or an ordinary file, or is `source` (unless `in_place`).
    """

    def __init__(self, target: Path, source: InputFile, *, mode: int, in_place: bool = False) -> None:
        check_output(target, source, in_place=in_place)
        self._target: Final = target.name
        self._on_its_way = ""  # the name that it has meanwhile
        self._folder: Final = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sweep(self._folder)
            fd = open_nameless(self._folder, mode)
            if fd is None:
                fd, self._on_its_way = open_named(self._folder, mode)
            else:
                lock(fd)  # before it has any name
        except BaseException:
            os.close(self._folder)
            raise
        super().__init__(fd)

    def commit(self) -> None:
        """Make the file durable and give it its name, replacing an ordinary file of that name."""
        os.fsync(self.fd)
        if self._on_its_way or not self._linked():
            self._replace()
        os.fsync(self._folder)

    def _linked(self) -> bool:
        """Give the file its name, which is the first it has; return False where there is something of that name."""
        try:
            self._link(self._target)
        except FileExistsError:
            return False
        return True

    def _replace(self) -> None:
        """Take the place of a file in one step, which needs a name before: whoever is killed in between leaves that."""
        if not self._on_its_way:
            self._on_its_way = fresh_name()  # said first: an interrupt must not leave it behind
            self._link(self._on_its_way)
        os.replace(self._on_its_way, self._target, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._on_its_way = ""

    def _link(self, name: str) -> None:
        os.link(f"/proc/self/fd/{self.fd}", name, dst_dir_fd=self._folder, follow_symlinks=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(FileNotFoundError):  # first of all: closing may fail where the disk did
            if self._on_its_way:
                os.unlink(self._on_its_way, dir_fd=self._folder)
        self.close()
        os.close(self._folder)


def open_nameless(folder: int, mode: int) -> int | None:
    """Open a file that has no name yet; None where system or file system have no such thing."""
    if not Path("/proc/self/fd").is_dir():  # the way to give it a name later
        return None
    try:
        return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode, dir_fd=folder)
    except OSError as problem:
        if problem.errno in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}:
            return None
        raise


def check_output(target: Path, source: InputFile, *, in_place: bool) -> None:
    """Raise `BadOutput` unless `target` is free or an ordinary file that may be replaced."""
    if not target.parent.is_dir():
        raise BadOutput(f"the folder of the output, {target.parent}, does not exist")
    try:
        there = target.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(there.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(there.st_mode) else "not an ordinary file"
        raise BadOutput(f"the output {target} is {what}")
    if os.path.samestat(there, source.stat) and not in_place:
        raise BadOutput(f"the output {target} is the input itself")


def open_named(folder: int, mode: int) -> tuple[int, str]:
    """Make a file under a temporary name, and lock it."""
    while True:
        name = fresh_name()
        fd = os.open(name, NEW_FILE, mode, dir_fd=folder)
        lock(fd, wait=True)
        if os.fstat(fd).st_nlink:
            return fd, name
        os.close(fd)  # taken for one that was left, in the moment before it was locked


def fresh_name() -> str:
    """Return a temporary name that nobody has."""
    return f".strongroom-{secrets.token_hex(8)}.part"


def lock(fd: int, *, wait: bool = False) -> bool:
    """Lock an open file for as long as it is open, here or in a helper; return False where that cannot be."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # somebody holds it, or the file system has no locks: then no file is taken for one that was left
        return False
    return True


def sweep(folder: int) -> None:
    """Remove what killed runs of this user left in a folder: temporary names whose files nobody holds any more."""
    where = os.fstat(folder)
    if (where.st_dev, where.st_ino) in _swept:
        return
    _swept.add((where.st_dev, where.st_ino))
    with suppress(PermissionError), os.scandir(folder) as entries:  # a folder may be for writing alone
        for name in [entry.name for entry in entries if _ON_ITS_WAY.fullmatch(entry.name)]:
            with suppress(OSError):  # it is somebody else's, or went meanwhile
                _remove_left(folder, name)


def _remove_left(folder: int, name: str) -> None:
    fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        found = os.fstat(fd)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and lock(fd):
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(fd)
