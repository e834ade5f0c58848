"""Open a workspace's keyring: its store, the root key that the store is under, and the key files that wait.

World: the workspace, the store, the token or key service. The store knows under which root key it is; strongroom.toml
says which one a new store gets, and which one is wanted: anything but `file` has to be what it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom.broker.keyring import file_root, kms_root, passphrase_root, rows
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.passphrase_root import NewPassphraseNeeded, PassphraseNeeded
from strongroom.broker.keyring.root_folder import FILE, PASSPHRASE, RootFolder, read_passphrase_file
from strongroom.broker.keyring.root_key import (
    LocalRoot,
    RootDoesNotFit,
    RootKey,
    RootMissing,
    RootUnusable,
    new_root_key,
)
from strongroom.broker.keyring.rows import SecretInfo
from strongroom.broker.keyring.taking_over import take_over
from strongroom.broker.names import DEFAULT_TENANT
from strongroom.broker.store import Store
from strongroom.broker.store.opening import open_store
from strongroom.errors import BadInput, Refused, StrongroomError, Unreachable
from strongroom.pki import disk
from strongroom.secret import Secret
from strongroom.workspace import Workspace

FILE_KIND: Final = file_root.KIND
PASSPHRASE_KIND: Final = passphrase_root.KIND


class RootSetting(BadInput):
    """strongroom.toml names another kind of root key than the one that the store is under."""

    code = "SR-ROOT-SETTING"
    fix = "Run strongroom key rewrap, which brings the store under what strongroom.toml says, or correct the file."


class Pkcs11Missing(BadInput):
    """The extra that speaks to PKCS#11 tokens is not installed."""

    code = "SR-PKCS11-MISSING"
    fix = "Run pip install 'strongroom[pkcs11]'."


def open_keyring(
    owner: Workspace, *, passphrase: Secret | None = None, store: Store | None = None, any_root: bool = False
) -> Keyring:
    """Open the keyring of a workspace; its store, `store` if that is open already, stays open when it is closed.

    A first root key is made if the store is new. `any_root` accepts another kind than strongroom.toml names. Raises
    PassphraseNeeded, WrongPassphrase, RootMissing, RootSetting, RootUnusable, RootUnreachable, StoreUnavailable.
    """
    opened = store if store is not None else open_store(store_location(owner))
    try:
        keyring = Keyring(opened, open_root(owner, opened, passphrase, any_root=any_root), files=owner.secrets)
        keyring.begin()
        take_over(keyring, owner.secrets)
    except BaseException:
        if store is None:
            opened.close()
        raise
    return keyring


def store_location(owner: Workspace) -> str | Path:
    """Return where strongroom.toml puts the store: a file of the workspace, or a database's address."""
    setting = owner.settings.broker
    return setting.store if setting.shared else owner.folder / setting.store


def open_root(owner: Workspace, store: Store, passphrase: Secret | None, *, any_root: bool = False) -> RootKey:
    """Open the root key that the store is under, or make the first. Raises what `open_keyring` says."""
    folder = RootFolder.of(owner.folder)
    with folder.locked():
        ids = store.read(rows.root_ids)
        if len(ids) > 1:
            raise RootDoesNotFit(f"the store's keys are under {len(ids)} root keys", fix="Restore it from a backup.")
        if not ids:
            return _first(owner, folder, passphrase)
        folder.settle(ids[0])
        return _present(owner, folder, ids[0], passphrase, any_root=any_root)


def _present(
    owner: Workspace, folder: RootFolder, wanted: str, passphrase: Secret | None, *, any_root: bool
) -> RootKey:
    setting = owner.settings.broker.root
    names = {name for name, held in folder.files().items() if held == wanted}
    kind = PASSPHRASE_KIND if PASSPHRASE in names and FILE not in names else FILE_KIND
    if names and setting not in {kind, FILE_KIND} and not any_root:
        raise RootSetting(
            f"strongroom.toml says root = {setting!r}, the store is under a root key of the kind {kind!r}"
        )
    if FILE in names:
        return file_root.open_file(folder.path / FILE)
    if PASSPHRASE in names:
        return _under_passphrase(folder, passphrase)
    if setting in {FILE_KIND, PASSPHRASE_KIND}:
        raise RootMissing(f"the store is under root key {wanted}, which is not in {folder.path}")
    root = elsewhere(owner, wanted=wanted)
    if root.id != wanted:
        root.close()
        raise RootMissing(f"the store is under root key {wanted}, strongroom.toml names {root.id}")
    return root


def _first(owner: Workspace, folder: RootFolder, passphrase: Secret | None) -> RootKey:
    """Return the root key of a new store: what lies there from before, or a new one of the kind that is set."""
    setting = owner.settings.broker.root
    if setting == FILE_KIND:
        if not (folder.path / FILE).exists():
            return file_root.write_file(folder.path / FILE, new_root_key())
        return file_root.open_file(folder.path / FILE)
    if setting == PASSPHRASE_KIND:
        if not (folder.path / PASSPHRASE).exists():
            return write_passphrase_root(folder.path / PASSPHRASE, new_root_key(), passphrase)
        return _under_passphrase(folder, passphrase)
    try:
        return elsewhere(owner)
    except RootMissing:
        return elsewhere(owner, make=True)


def _under_passphrase(folder: RootFolder, passphrase: Secret | None) -> RootKey:
    if passphrase is None:
        raise PassphraseNeeded("the root key is under a passphrase")
    root = read_passphrase_file(folder.path / PASSPHRASE).open(passphrase)
    root.description = f"file {folder.path / PASSPHRASE} under a passphrase"
    return root


def write_passphrase_root(path: Path, key: Secret, passphrase: Secret | None) -> LocalRoot:
    """Keep a root key in the new file `path` under a passphrase. Raises PassphraseNeeded, WeakPassphrase."""
    if passphrase is None:
        raise NewPassphraseNeeded("the new root key is to be under a passphrase")
    disk.write_secret(path, Secret(passphrase_root.protect(key, passphrase).render()))
    return LocalRoot(key, f"file {path} under a passphrase")


def elsewhere(owner: Workspace, *, wanted: str | None = None, make: bool = False) -> RootKey:
    """Return the root key in the token or key service that strongroom.toml names. Raises RootUnusable and others."""
    settings = owner.settings.broker
    if settings.root.startswith(kms_root.PREFIX):
        return kms_root.open_kms(settings.root.removeprefix(kms_root.PREFIX), owner.folder / "root")
    if settings.token is None:
        raise RootUnusable(f"strongroom.toml says root = {settings.root!r}, which is no token and no key service")
    try:
        from strongroom.broker.keyring.pkcs11_root import Pkcs11Root, Token
    except ImportError:
        raise Pkcs11Missing("root = 'pkcs11' needs python-pkcs11") from None
    place = Token(
        settings.token.module, settings.token.token, settings.token.key_label, owner.folder / settings.token.pin_file
    )
    return Pkcs11Root(place, wanted=wanted, make=make)


def stored_root(owner: Workspace) -> str | None:
    """Return under which root key the store is; None for one that is new or not there."""
    with _present_store(owner) as store:
        ids = [] if store is None else store.read(rows.root_ids)
        return ids[0] if ids else None


def secret_infos(owner: Workspace, tenant: str = DEFAULT_TENANT) -> tuple[SecretInfo, ...]:
    """Return what may be shown of a tenant's secrets in the store; the root key is not needed. None is made."""
    with _present_store(owner) as store:
        return () if store is None else tuple(row.info for row in store.read(lambda tx: rows.of_tenant(tx, tenant)))


def secret_names(owner: Workspace) -> frozenset[str]:
    """Return the names of the default tenant's secrets, in the store and as files that wait."""
    return frozenset(info.name for info in secret_infos(owner)) | frozenset(owner.secrets.names())


def keep(owner: Workspace, name: str, secret: Secret) -> None:
    """Keep a new secret of the default tenant durably as a file; `take_waiting` brings it into the store.

    So an owner can publish where neither the token, the passphrase nor the database is at hand. Raises AlreadyThere,
    UnfitSecret, WeakKey.
    """
    if name in secret_names(owner):
        raise disk.AlreadyThere(f"the secret {name} is there already", fix="Choose the next version, or another name.")
    owner.secrets.put(name, secret)


def take_waiting(owner: Workspace) -> StrongroomError | None:
    """Bring waiting key files into the store if nothing has to be asked for; return what stands in the way."""
    try:
        keyring = open_keyring(owner)
    except (Unreachable, BadInput, Refused) as problem:
        return problem
    keyring.close()
    keyring.store.close()
    return None


@contextmanager
def _present_store(owner: Workspace) -> Iterator[Store | None]:
    location = store_location(owner)
    if isinstance(location, Path) and not location.exists():
        yield None
        return
    store = open_store(location)
    try:
        yield store
    finally:
        store.close()
