"""Primary keys as files in a folder: for tests and for one's own machine, since whoever reads the folder has the keys.

World: the folder. NAME.key holds a ring (datasets.key_ring), readable by its owner alone.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.keys.service import KeyNotGranted, there_are
from strongroom.datasets import key_ring
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.names import check_key_name
from strongroom.errors import BadInput
from strongroom.pki import disk

SUFFIX: Final = ".key"
MAX_KEYS: Final = 1024
BANNER: Final = "primary keys come from files in %s: TEST ONLY, whoever reads that folder can read the data"
TOLD_VARIABLE: Final = "STRONGROOM_KEY_FILES_TOLD"  # digests of the folders that this process tree was told of
MAX_TOLD: Final = 64
_log: Final = logging.getLogger(__name__)


class NoKeyFiles(BadInput):
    """A folder of primary keys is not there, or has too many."""

    code = "SR-DATA-KEY-FOLDER"
    fix = "Make the first key with strongroom data key NAME --file DIR."


class FileKeyService(RingKeys):
    """A KeyService over a folder of key files, read once, when it is made; says so in the log, once a process tree.

    Raises NoKeyFiles, LoosePermissions, BadKeyName, BadKeyRing, BadPrimaryKey.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder: Final = Path(folder)
        super().__init__(_rings(self.folder))
        _tell(os.path.abspath(self.folder))  # noqa: PTH100  # links are as good a name

    def _ring(self, name: str) -> KeyRing:
        if name not in self._rings:
            raise _no_key(self.folder, name, self.names())
        return super()._ring(name)

    def __reduce__(self) -> tuple[type[FileKeyService], tuple[str]]:
        """Travel as the folder's name: keys do not travel."""
        return FileKeyService, (os.fspath(self.folder),)


def _tell(folder: str) -> None:
    """Say what keys in files are good for, unless a process above has; those below are told by the environment."""
    told, name = os.environ.get(TOLD_VARIABLE, "").split(), hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    if name not in told:
        os.environ[TOLD_VARIABLE] = " ".join((*told, name)[-MAX_TOLD:])
        _log.warning(BANNER, folder)


def read_ring(folder: Path, name: str) -> KeyRing:
    """Return one primary key of a folder. Raises KeyNotGranted where it is not there, and as FileKeyService does."""
    path = folder / f"{check_key_name(name)}{SUFFIX}"
    try:
        ring = disk.read_secret(path, limit=key_ring.MAX_BYTES)
    except FileNotFoundError:
        raise _no_key(folder, name, ()) from None
    with ring.reveal() as raw:
        return KeyRing.parse(name, raw)


def _no_key(folder: Path, name: str, others: Sequence[str]) -> KeyNotGranted:
    fix = f"Make it with strongroom data key {name[:60]} --file {folder}, or name another{there_are(others)}."
    return KeyNotGranted(f"there is no primary key {name[:60]!r} in {folder}", fix=fix)


def write_ring(folder: Path, ring: KeyRing) -> None:
    """Write one primary key, atomically, 0600; makes the folder (0700)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    disk.replace_private(folder / f"{ring.name}{SUFFIX}", ring.to_bytes())


def _rings(folder: Path) -> list[KeyRing]:
    try:
        names = sorted(each.stem for each in folder.iterdir() if each.suffix == SUFFIX)
    except (FileNotFoundError, NotADirectoryError):
        raise NoKeyFiles(f"there is no folder of keys {folder}") from None
    if len(names) > MAX_KEYS:
        raise NoKeyFiles(f"{folder} has more than {MAX_KEYS} keys")
    return [read_ring(folder, name) for name in names]
