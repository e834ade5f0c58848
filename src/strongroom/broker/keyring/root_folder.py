"""The workspace's folder `root/`: the root key's file, and how one root key takes another's place.

World: that folder. The store says under which root key it is; the files say which they are. Changing it: the new file
is durable under a name of its own (`.next`), a note says from which key to which, the store is rewrapped in one
transaction, the old file goes, the new one takes its name, the note goes. Whoever opens the folder after a crash reads
the note and the store, and finishes or undoes it.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.broker.keyring.passphrase_root import MAX_FILE_BYTES, PassphraseFile
from strongroom.broker.keyring.root_key import ROOT_KEY_BYTES, root_id
from strongroom.pki import disk
from strongroom.secret import Secret

FOLDER: Final = "root"
FILE: Final = "root.key"
PASSPHRASE: Final = "root.passphrase"  # noqa: S105  # a file's name
NEXT: Final = ".next"
NOTE: Final = "changing"
MAX_NOTE_BYTES: Final = 256
_NOTE: Final = re.compile(rb"([a-z0-9-]{1,64}) ([a-z0-9-]{1,64})\n")


@dataclass(frozen=True, slots=True)
class RootFolder:
    """The folder, 0700; made at the first use."""

    path: Path

    @classmethod
    def of(cls, workspace: Path) -> RootFolder:
        """Return a workspace's. Raises LoosePermissions if others may enter it."""
        path = workspace / FOLDER
        path.mkdir(mode=disk.SECRET_FOLDER_MODE, exist_ok=True)
        disk.check_private(path)
        return cls(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of this machine from changing the folder meanwhile; clean up after killed ones."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for left in self.path.glob(".*.partial"):  # of a process that was killed while it wrote a key
                left.unlink()
            yield
        finally:
            os.close(descriptor)

    def files(self) -> dict[str, str]:
        """Return the local root keys that are here: the file's name and which root key it holds.

        Raises RootUnusable, LoosePermissions.
        """
        found = {}
        for name in (FILE, PASSPHRASE, FILE + NEXT, PASSPHRASE + NEXT):
            path = self.path / name
            if path.exists():
                found[name] = _id_of(path)
        return found

    def begin_change(self, old: str, new: str) -> None:
        """Note durably which root key is to take which one's place. Ask with the lock held."""
        for name, held in self.files().items():
            if name.endswith(NEXT) and held != old:  # of a change that ended before its note
                (self.path / name).unlink()
        disk.replace_private(self.path / NOTE, f"{old} {new}\n".encode())

    def settle(self, stored: str) -> None:
        """Finish or undo a change, by which root key the store is under. Ask with the lock held."""
        note = self._note()
        if note is None or stored not in note:
            return  # none, or of another store
        old, new = note
        for name, held in self.files().items():
            if stored == new and held == new and name.endswith(NEXT):
                (self.path / name).replace(self.path / name.removesuffix(NEXT))
        disk.sync_folder(self.path)
        for name, held in self.files().items():
            if held != stored and held in {old, new}:
                (self.path / name).unlink()
        disk.sync_folder(self.path)
        (self.path / NOTE).unlink()
        disk.sync_folder(self.path)

    def _note(self) -> tuple[str, str] | None:
        try:
            found = _NOTE.fullmatch(disk.read_bounded(self.path / NOTE, limit=MAX_NOTE_BYTES))
        except FileNotFoundError:
            return None
        return (found[1].decode(), found[2].decode()) if found else None


def read_key(path: Path) -> Secret:
    """Return the bytes of a root key's file."""
    return disk.read_secret(path, limit=ROOT_KEY_BYTES)


def read_passphrase_file(path: Path) -> PassphraseFile:
    """Return a passphrase-protected root key. Raises RootUnusable."""
    disk.check_private(path)
    return PassphraseFile.parse(disk.read_bounded(path, limit=MAX_FILE_BYTES))


def _id_of(path: Path) -> str:
    if path.name.startswith(PASSPHRASE):
        return read_passphrase_file(path).id
    return root_id(read_key(path))
