"""Change what holds the root key, split it into recovery shares, and bring it back from them.

World: the workspace's folder `root/`, the store, the token or key service. See `root_folder` for the order of steps.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from strongroom.broker.keyring import file_root, shares
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.opening import (
    FILE_KIND,
    PASSPHRASE_KIND,
    elsewhere,
    stored_root,
    write_passphrase_root,
)
from strongroom.broker.keyring.passphrase_root import NewPassphraseNeeded, check_new, protect
from strongroom.broker.keyring.root_folder import FILE, NEXT, PASSPHRASE, RootFolder
from strongroom.broker.keyring.root_key import (
    LocalRoot,
    RootDoesNotFit,
    RootKey,
    RootNotHere,
    RootUnusable,
    new_root_key,
    root_id,
)
from strongroom.broker.keyring.shares import Share
from strongroom.broker.keyring.tenant_keys import Also, Progress
from strongroom.pki import disk
from strongroom.secret import Secret
from strongroom.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """What a change of the root key did."""

    old: str
    new: str
    description: str  # where the new one is
    keys: int  # how many tenants' keys are under it now


def change_root(
    owner: Workspace, keyring: Keyring, kind: str, *, passphrase: Secret | None = None,
    progress: Progress | None = None, also: Also | None = None,
) -> Rewrapped:  # fmt: skip
    """Bring the store under a new root key of this kind: file, passphrase, or what strongroom.toml names.

    A crash leaves the old root key in force or the new one; opening the keyring again puts away the other. Raises
    PassphraseNeeded, WeakPassphrase, RootUnusable, RootUnreachable, RootMissing.
    """
    folder = RootFolder.of(owner.folder)
    old = keyring.root
    with folder.locked():
        folder.settle(old.id)
        new = _new_root(owner, folder, old, kind, passphrase)
        count = keyring.rewrap(new, progress=progress, also=also)
        folder.settle(new.id)
    if old is not new:
        old.close()
    return Rewrapped(old.id, new.id, new.description, count)


def _new_root(owner: Workspace, folder: RootFolder, old: RootKey, kind: str, passphrase: Secret | None) -> RootKey:
    if kind in {FILE_KIND, PASSPHRASE_KIND}:
        if kind == PASSPHRASE_KIND:
            if passphrase is None:
                raise NewPassphraseNeeded("the new root key is to be under a passphrase")
            check_new(passphrase)
        key = new_root_key()
        folder.begin_change(old.id, root_id(key))
        if kind == FILE_KIND:
            root = file_root.write_file(folder.path / (FILE + NEXT), key)
            root.description = f"file {folder.path / FILE}"
            return root
        root = write_passphrase_root(folder.path / (PASSPHRASE + NEXT), key, passphrase)
        root.description = f"file {folder.path / PASSPHRASE} under a passphrase"
        return root
    if kind != owner.settings.broker.root:
        raise RootUnusable(f"{kind[:64]!r} is not what strongroom.toml names", fix="Set root in its table [broker].")
    root_elsewhere = elsewhere(owner, make=True)
    folder.begin_change(old.id, root_elsewhere.id)
    return root_elsewhere


def split_root(root: RootKey, *, threshold: int, count: int) -> tuple[Share, ...]:
    """Split the root key into recovery shares. Raises BadThreshold, and RootNotHere for one that cannot leave."""
    if not isinstance(root, LocalRoot):
        raise RootNotHere(f"the root key in the {root.description} cannot be split")
    shares.check_threshold(threshold, count)
    randomness = secrets.token_bytes((threshold - 1) * len(root.key))
    return shares.split(
        root.key, threshold=threshold, shares=count, root_id=root.id, set_id=secrets.token_bytes(8),
        randomness=randomness,
    )  # fmt: skip


def recover_root(owner: Workspace, given: Sequence[Share], *, passphrase: Secret | None = None) -> LocalRoot:
    """Write the root key of these shares into the folder `root/`, under a passphrase if one is given.

    It takes the place of the same root key under a passphrase that was lost.

    Raises TooFewShares, SharesDoNotFit, RootDoesNotFit if it is not the store's, and AlreadyThere.
    """
    key = shares.combine(given)
    found = root_id(key)
    if found != given[0].root_id:
        raise RootDoesNotFit(f"the shares of set {given[0].set_id} give {found}, not {given[0].root_id}")
    stored = stored_root(owner)
    if stored is not None and stored != found:
        raise RootDoesNotFit(f"the shares give root key {found}, the store is under {stored}")
    folder = RootFolder.of(owner.folder)
    with folder.locked():
        held = {name for name, each in folder.files().items() if each == found}
        if FILE in held:
            raise disk.AlreadyThere(f"root key {found} is there already, in {folder.path / FILE}")
        if PASSPHRASE not in held and (folder.path / PASSPHRASE).exists():
            raise disk.AlreadyThere(f"{folder.path / PASSPHRASE} holds another root key")
        if passphrase is not None:
            disk.replace_private(folder.path / PASSPHRASE, protect(key, passphrase).render())
            return LocalRoot(key, f"file {folder.path / PASSPHRASE} under a passphrase")
        root = file_root.write_file(folder.path / FILE, key)
        if PASSPHRASE in held:  # whose passphrase is lost
            (folder.path / PASSPHRASE).unlink()
            disk.sync_folder(folder.path)
        return root


def write_shares(made: Sequence[Share], folder: Path) -> list[Path]:
    """Write one file (0600) for each share into the new folder `folder`. Raises AlreadyThere."""
    paths = []
    with disk.new_folder(folder) as new:
        for share in made:
            name = f"share-{share.number}-of-{share.shares}.txt"
            disk.write_secret(new / name, share.render())
            paths.append(folder / name)
    return paths
