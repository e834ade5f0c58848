"""Secrets by name, one file each: `model/<name>/<version>` (a 16-byte wrap key) and `secret/<name>`.

World: the `keys` folder. A model's key file can be used as Gramine's wrap-key file as it is.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from strongroom.errors import BadInput
from strongroom.pki import disk
from strongroom.sealing import check_wrap_key
from strongroom.secret import Secret

MAX_SECRET_BYTES: Final = 64 * 1024  # what the provisioning protocol sends at most
WRAP_KEY_BYTES: Final = 16
_WORD: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_MODEL: Final = re.compile(rf"model/({_WORD})/([1-9][0-9]{{0,18}})", re.ASCII)
_OTHER: Final = re.compile(rf"secret/({_WORD})", re.ASCII)
MAX_VERSION: Final = 2**63 - 1


class BadSecretName(BadInput):
    """A secret's name does not follow the grammar."""

    code = "SR-SECRET-NAME"
    fix = "Write model/NAME/VERSION or secret/NAME; names are letters, digits, dot, dash and underscore."


class UnknownSecret(BadInput):
    """There is no secret of this name in the workspace."""

    code = "SR-UNKNOWN-SECRET"
    fix = "Look for its name in strongroom key list; strongroom model publish or strongroom key create makes one."


class UnfitSecret(BadInput):
    """The bytes cannot be the secret of this name: a model's key has 16 bytes, others between 1 and 65536."""

    code = "SR-UNFIT-SECRET"
    fix = "Give a model's key as exactly 16 raw bytes."


def model_key_name(name: str, version: int) -> str:
    """Return the name under which a model version's key is stored; raise `BadSecretName`."""
    secret_name = f"model/{name}/{version}"
    check_name(secret_name)
    return secret_name


def check_name(name: str) -> None:
    """Raise `BadSecretName` unless `name` follows the grammar, and so cannot leave the store's folder."""
    model = _MODEL.fullmatch(name)
    if model is not None and int(model[2]) <= MAX_VERSION:
        return
    if model is None and _OTHER.fullmatch(name):
        return
    raise BadSecretName(f"{name[:160]!r} is not the name of a secret")


class SecretStore:
    """The secrets of one workspace."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> tuple[str, ...]:
        """Return the names of all secrets, versions in numeric order."""
        found = [path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file()]
        return tuple(sorted((name for name in found if _is_name(name)), key=_order))

    def get(self, name: str) -> Secret:
        """Return a secret; raise `UnknownSecret`, or `LoosePermissions` if others can read its file."""
        check_name(name)
        try:
            secret = disk.read_secret(self._folder / name, limit=MAX_SECRET_BYTES)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise UnknownSecret(f"there is no secret {name}") from None
        check_fit(name, secret)
        return secret

    def has(self, name: str) -> bool:
        """Return whether there is a file of this name, readable or not."""
        return _is_name(name) and os.path.isfile(f"{self._folder}/{name}")  # noqa: PTH113  # a Path takes longer

    def remove(self, name: str) -> None:
        """Remove a secret's file, durably; one that is gone already is no error."""
        check_name(name)
        (self._folder / name).unlink(missing_ok=True)
        disk.sync_folder((self._folder / name).parent)

    def put(self, name: str, secret: Secret) -> None:
        """Keep a new secret; raise `AlreadyThere` if the name is taken: a version's key never changes."""
        check_name(name)
        check_fit(name, secret)
        path = self._folder / name
        for folder in reversed(path.parents[: name.count("/")]):  # one by one: mkdir gives its mode to the last only
            folder.mkdir(mode=disk.SECRET_FOLDER_MODE, exist_ok=True)
        try:
            disk.write_secret(path, secret)
        except disk.AlreadyThere:
            raise disk.AlreadyThere(
                f"the secret {name} is there already", fix="Publish under the next version; a version never changes."
            ) from None


def check_fit(name: str, secret: Secret) -> None:
    """Raise `UnfitSecret` or `WeakKey` unless the bytes can be the secret of this name."""
    if name.startswith("model/") and len(secret) != WRAP_KEY_BYTES:
        raise UnfitSecret(f"{name} has {len(secret)} bytes, a model's key has {WRAP_KEY_BYTES}")
    if not 0 < len(secret) <= MAX_SECRET_BYTES:
        raise UnfitSecret(f"{name} has {len(secret)} bytes, a secret has 1 to {MAX_SECRET_BYTES}")
    if len(secret) == WRAP_KEY_BYTES:
        check_wrap_key(secret)


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except BadSecretName:
        return False
    return True


def _order(name: str) -> tuple[str, int]:
    prefix, _, last = name.rpartition("/")
    return (prefix, int(last)) if name.startswith("model/") else (name, 0)
