"""Write files whole or not at all: public ones, and secrets that only their owner may read.

World: the file system. Secrets are 0600 in 0700 folders, made under a temporary name that nobody else can open,
synced, and moved into place; `move_new` never replaces what is there. A folder is locked while it is filled: one that a
killed process left is removed by the next that is made beside it.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from strongroom.errors import BadInput, Refused
from strongroom.secret import Secret

SECRET_MODE: Final = 0o600
SECRET_FOLDER_MODE: Final = 0o700
PUBLIC_MODE: Final = 0o644
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_FOLDER_ON_ITS_WAY: Final = re.compile(r"\..+\.[0-9a-f]{16}\.partial", re.DOTALL)


class AlreadyThere(BadInput):
    """Something is at the place where new files were to go; nothing is ever overwritten."""

    code = "SR-ALREADY-THERE"
    fix = "Choose another place, or move away what is there."


class LoosePermissions(Refused):
    """Other users of this machine can read a file or folder that holds secrets."""

    code = "SR-LOOSE-PERMISSIONS"
    fix = "Run chmod 0700 on the folder and chmod 0600 on the file."


class FileTooLong(BadInput):
    """A file is longer than anything of its kind."""

    code = "SR-FILE-TOO-LONG"
    fix = "Check that the path names the file you meant."


def write_public(path: Path, data: bytes) -> None:
    """Write `data` to the new file `path`, readable by all."""
    _write_new(path, data, PUBLIC_MODE)


def write_secret(path: Path, secret: Secret) -> None:
    """Write the bytes of `secret` to the new file `path`, readable by its owner alone."""
    with secret.reveal() as raw:
        _write_new(path, raw, SECRET_MODE)


def replace_public(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step, over what is there."""
    with new_file(path, PUBLIC_MODE, data) as temporary:
        temporary.replace(path)
        sync_folder(path.parent)


def replace_private(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step, over what is there, readable by its owner alone."""
    with new_file(path, SECRET_MODE, data) as temporary:
        temporary.replace(path)
        sync_folder(path.parent)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    with new_file(path, mode, data) as temporary:
        move_new(temporary, path)


@contextmanager
def new_file(path: Path, mode: int, data: bytes) -> Iterator[Path]:
    """Lend a synced temporary file beside `path` that holds `data`; gone at the end unless moved."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, SECRET_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(descriptor, mode)
            file.flush()
            os.fsync(descriptor)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def move_new(source: Path, target: Path) -> None:
    """Move the file `source` to `target` in one step; raise `AlreadyThere` if something is there."""
    try:
        os.link(source, target, follow_symlinks=False)  # unlike rename, link never replaces
    except FileExistsError:
        raise AlreadyThere(f"{target} is there already") from None
    source.unlink()
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def new_folder(target: Path, *, mode: int = SECRET_FOLDER_MODE) -> Iterator[Path]:
    """Lend an empty folder beside `target` to fill; at the end it becomes `target` in one step, or is removed."""
    target = Path(os.path.abspath(target))  # noqa: PTH100  # resolve() would follow a link at the target
    if target.is_symlink() or (target.exists() and not _is_empty_folder(target)):
        raise AlreadyThere(f"{target} is there already")
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep_folders(target.parent)
    temporary, lock = _locked_folder(target)
    try:
        yield temporary
        temporary.chmod(mode)
        sync_folder(temporary)
        _rename_folder(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)


def _locked_folder(target: Path) -> tuple[Path, int]:
    """Make a folder under a temporary name; return it with the descriptor that holds its lock."""
    while True:
        made = target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")
        made.mkdir(mode=SECRET_FOLDER_MODE)
        with suppress(FileNotFoundError):  # taken for one that was left, in the moment before it was locked
            descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            _lock(descriptor, fcntl.LOCK_EX)
            if made.is_dir():
                return made, descriptor
            os.close(descriptor)


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except OSError:  # somebody holds it, or the file system has no locks: then nothing is taken for left
        return False
    return True


def _sweep_folders(parent: Path) -> None:
    """Remove the folders that killed processes of this user were filling here: nobody holds their locks any more."""
    with suppress(PermissionError), os.scandir(parent) as entries:  # it may be for writing alone
        for name in [entry.name for entry in entries if _FOLDER_ON_ITS_WAY.fullmatch(entry.name)]:
            with suppress(OSError):  # a file or a link, somebody else's, or gone meanwhile
                _remove_left(parent / name)


def _remove_left(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid() and _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(path)
    finally:
        os.close(descriptor)


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _rename_folder(source: Path, target: Path) -> None:
    try:
        source.rename(target)  # replaces nothing but an empty folder
    except OSError as problem:
        if target.exists():
            raise AlreadyThere(f"{target} is there already") from problem
        raise
    sync_folder(target.parent)


def read_bounded(path: Path, *, limit: int) -> bytes:
    """Return the content of the regular file `path`, which must not be longer than `limit` bytes."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not make us wait
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileTooLong(f"{path} is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise FileTooLong(f"{path} is longer than {limit} bytes")
    return data


def read_secret(path: Path, *, limit: int) -> Secret:
    """Return the content of a file that only its owner may read."""
    check_private(path)
    return Secret(read_bounded(path, limit=limit))


def check_own(path: Path) -> None:
    """Raise `LoosePermissions` if `path` is a link, or belongs to another user than this process runs as."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid():
        raise LoosePermissions(
            f"{path} is a link, or belongs to another user",
            fix=f"Remove '{path}': it is made again where it is needed.",
        )


def check_private(path: Path) -> None:
    """Raise `LoosePermissions` if others than the owner may enter or read `path`."""
    mode = path.stat().st_mode
    if mode & OTHERS:
        wanted = SECRET_FOLDER_MODE if stat.S_ISDIR(mode) else SECRET_MODE
        raise LoosePermissions(
            f"{path} has the mode {stat.S_IMODE(mode):04o}; other users of this machine can reach it",
            fix=f"Run: chmod {wanted:04o} '{path}'"
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode)
            else "Name a regular file that only its owner may read.",
        )
