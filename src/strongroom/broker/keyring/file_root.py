"""The root key in a file of 32 raw bytes that only its owner may read: the default, so that nothing has to be typed.

World: that file. It protects copies of the store (backups, a database server, a stolen disk of one), not the machine
that has both.
"""

from __future__ import annotations

from pathlib import Path

from strongroom.broker.keyring.root_key import ROOT_KEY_BYTES, LocalRoot
from strongroom.pki import disk
from strongroom.secret import Secret

KIND = "file"


def open_file(path: Path) -> LocalRoot:
    """Return the root key in `path`. Raises RootUnusable, LoosePermissions, FileTooLong, FileNotFoundError."""
    return LocalRoot(disk.read_secret(path, limit=ROOT_KEY_BYTES), f"file {path}")


def write_file(path: Path, key: Secret) -> LocalRoot:
    """Keep `key` in the new file `path`. Raises AlreadyThere."""
    root = LocalRoot(key, f"file {path}")
    disk.write_secret(path, key)
    return root
