"""Secrets by tenant and name, wrapped under the tenant's key, which is wrapped under the root key.

World: the store and the root key. Tenants' keys stay unwrapped in memory from their first use until `close`, so a
release asks neither a token nor a key service. Methods take the author of a change; `also` runs in the same
transaction, just before the change and with what it comes to: an action and its line in the ledger are written together
or not at all, and `also` may still object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from strongroom.broker.keyring import envelope, rows
from strongroom.broker.keyring.kinds import (
    check_secret,
    ed25519_seed,
    fresh_secret,
    is_name,
    is_public,
    p256_scalar,
    secret_context,
    unknown,
    wrap_secret,
)
from strongroom.broker.keyring.root_key import RootKey
from strongroom.broker.keyring.rows import SecretInfo, SecretState
from strongroom.broker.keyring.tenant_keys import BROKER_TENANT, Progress, TenantKeys
from strongroom.broker.keyring.tenant_keys import Also as AlsoAll
from strongroom.broker.names import DEFAULT_TENANT, SecretKind, SecretName, check_tenant
from strongroom.broker.store import Store, Tx
from strongroom.errors import BadInput, Refused
from strongroom.pki import disk
from strongroom.secret import Secret
from strongroom.workspace import SecretStore, UnknownSecret

LEDGER_KEY: Final = "secret/ledger-signing-key"
TOKEN_KEY: Final = "secret/token-signing-key"  # noqa: S105  # a name
FILES_AUTHOR: Final = "workspace"  # of what was found as a file in the workspace
DEFAULT_CARRY_S: Final = 24 * 3600  # how long the version before is given out to who asks for it by number
MAX_CARRY_S: Final = 366 * 24 * 3600
Also = Callable[[Tx, SecretInfo], None]


class ModelKeyFixed(Refused):
    """A model version's key never changes: the files out there are sealed under it."""

    code = "SR-MODEL-KEY-FIXED"
    fix = "Publish the model under its next version, then retire the key of this one."


class BadCarryTime(BadInput):
    """An old version can be carried for 0 seconds up to 366 days."""

    code = "SR-CARRY-TIME"
    fix = "Choose for example one day: --carry 86400."


class Keyring:
    """The secrets of all tenants of one store. Threads may share it."""

    def __init__(self, store: Store, root: RootKey, *, files: SecretStore | None = None) -> None:
        """`files`: a folder of single key files, taken into the store when one of them is asked for."""
        self._store = store
        self._keys = TenantKeys(store, root)
        self._files = files

    @property
    def root(self) -> RootKey:
        """The root key in use."""
        return self._keys.root

    @property
    def store(self) -> Store:
        """The store that the keyring is in."""
        return self._store

    def begin(self) -> None:
        """Make sure that the store is under this root key, which a new store is from now on. Raises RootMissing."""
        self._keys.active(BROKER_TENANT)

    def close(self) -> None:
        """Overwrite what is unwrapped and leave the root key; the store stays open."""
        self._keys.close()

    # What is there

    def get(self, tenant: str, name: str, version: int | None = None) -> Secret:
        """Return the newest version that is given out, or the one asked for. Raises UnknownSecret, EnvelopeTampered.

        A tenant, a name and a version that do not exist, are retired or belong to somebody else look the same.
        """
        try:
            return self._store.read(lambda tx: self.find(tx, tenant, name, version))
        except UnknownSecret:
            if version is not None or tenant != DEFAULT_TENANT or not self.take_over(name):
                raise
            return self._store.read(lambda tx: self.find(tx, tenant, name))

    def find(self, tx: Tx, tenant: str, name: str, version: int | None = None) -> Secret:
        """Return the same inside a transaction of the caller's; key files are not looked at."""
        if not is_public(tenant, name):
            raise unknown(name)
        return self._open(tx, tenant, name, version)

    def exists(self, tx: Tx, tenant: str, name: str) -> bool:
        """Return whether `get` would find it: in the store, or as a key file that was laid into the workspace."""
        if not is_public(tenant, name):
            return False
        in_files = tenant == DEFAULT_TENANT and self._files is not None and self._files.has(name)
        return in_files or rows.readable(tx, tenant, name) is not None

    def infos(self, tenant: str) -> tuple[SecretInfo, ...]:
        """Return what may be shown of a tenant's secrets, all versions; empty for a tenant that does not exist."""
        if not is_name(check_tenant, tenant):
            return ()
        return tuple(row.info for row in self._store.read(lambda tx: rows.of_tenant(tx, tenant)))

    def tenants(self) -> tuple[str, ...]:
        """Return the tenants that ever had a secret."""
        return tuple(name for name in self._store.read(rows.tenants) if name != BROKER_TENANT)

    def take_over(self, name: str) -> bool:
        """Take one key file into the store, if there is one: durable in the store first, then gone from the folder.

        Return whether there was one. Raises LoosePermissions, UnfitSecret, WeakKey, or AlreadyThere for a model's key
        that differs from the one in the store.
        """
        if self._files is None or not self._files.has(name):
            return False
        try:
            secret = self._files.get(name)
        except UnknownSecret:  # another process was faster
            return True
        try:
            known = self._store.read(lambda tx: self.find(tx, DEFAULT_TENANT, name))
        except UnknownSecret:
            known = None
        if known != secret:
            self.put(DEFAULT_TENANT, name, secret, FILES_AUTHOR)
        self._files.remove(name)
        return True

    # What is put there

    def put(
        self, tenant: str, name: str, secret: Secret, author: str, *, carry_s: int = DEFAULT_CARRY_S,
        also: Also | None = None,
    ) -> SecretInfo:  # fmt: skip
        """Keep a secret; a further one of the same name is its next version, but a model's key is kept once.

        Raises BadSecretName, UnfitSecret, WeakKey, BadCarryTime, AlreadyThere.
        """
        check_tenant(tenant)
        wanted = SecretName.parse(name)
        check_secret(wanted, secret)
        if not 0 <= carry_s <= MAX_CARRY_S:
            raise BadCarryTime(f"{carry_s} seconds cannot be")
        return self._put(tenant, wanted, secret, author, carry_s=carry_s, also=also)

    def create(self, tenant: str, name: str, author: str, *, also: Also | None = None) -> SecretInfo:
        """Make and keep a new random secret: 16 bytes for a model, 32 for others, 32 characters for a password."""
        return self.put(tenant, name, fresh_secret(SecretName.parse(name)), author, also=also)

    def rotate(
        self, tenant: str, name: str, author: str, *, secret: Secret | None = None, carry_s: int = DEFAULT_CARRY_S,
        also: Also | None = None,
    ) -> SecretInfo:  # fmt: skip
        """Keep a new version of a secret that is there: `secret`, or a random one.

        `get` returns the new one from now on, and the old one by its number for `carry_s` seconds. Raises
        ModelKeyFixed, NotMadeHere, UnknownSecret, and what `put` raises.
        """
        wanted = SecretName.parse(name)
        if wanted.kind is SecretKind.MODEL:
            raise ModelKeyFixed(f"the key of {name} cannot be rotated")
        self.get(tenant, name).wipe()
        return self.put(tenant, name, secret or fresh_secret(wanted), author, carry_s=carry_s, also=also)

    def retire(self, tenant: str, name: str, version: int | None = None, *, also: Also | None = None) -> SecretInfo:
        """Give a version, or all, out no more; return the last. Raises UnknownSecret."""
        return self._end(tenant, name, version, SecretState.RETIRED, change=rows.retire, also=also)

    def destroy(self, tenant: str, name: str, version: int | None = None, *, also: Also | None = None) -> SecretInfo:
        """Forget the value of a version, or of all; the name stays taken. Return the last. Raises UnknownSecret."""
        return self._end(tenant, name, version, SecretState.DESTROYED, change=rows.destroy, also=also)

    # What wraps it

    def rotate_tenant(self, tenant: str, *, also: AlsoAll | None = None) -> int:
        """Give a tenant a new key and wrap all its secrets under it; return the generation. Raises UnknownSecret."""
        return self._keys.rotate(tenant, also=also)

    def rewrap(self, root: RootKey, *, progress: Progress | None = None, also: AlsoAll | None = None) -> int:
        """Wrap every tenant's key under another root key, in one transaction; return how many.

        `root` has to be kept durably by the caller before, the old one until this returns; closing the old one is the
        caller's. Raises RootMissing if the store is under another root key than this keyring's by now.
        """
        return self._keys.rewrap(root, progress=progress, also=also)

    # What the broker signs with

    def signing_key(self) -> ed25519.Ed25519PrivateKey:
        """Return the key that signs the ledger's roots, made at its first use."""
        kept = self._own(LEDGER_KEY, ed25519_seed)
        with kept.reveal() as raw:
            return ed25519.Ed25519PrivateKey.from_private_bytes(raw)

    def token_key(self) -> ec.EllipticCurvePrivateKey:
        """Return the P-256 key that signs attestation tokens, made at its first use."""
        kept = self._own(TOKEN_KEY, p256_scalar)
        with kept.reveal() as raw:
            return ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())

    def _own(self, name: str, make: Callable[[], bytes]) -> Secret:
        try:
            return self._store.read(lambda tx: self._open(tx, BROKER_TENANT, name, None))
        except UnknownSecret:
            self._put(BROKER_TENANT, SecretName.parse(name), Secret(make()), "broker", once=True)
            return self._store.read(lambda tx: self._open(tx, BROKER_TENANT, name, None))

    # Inside

    def _open(self, tx: Tx, tenant: str, name: str, version: int | None) -> Secret:
        row = rows.readable(tx, tenant, name, version)
        if row is None:
            raise unknown(name)
        return envelope.unwrap(self._keys.key(tx, tenant, row.info.generation), row.wrapped, secret_context(row.info))

    def _put(
        self, tenant: str, name: SecretName, secret: Secret, author: str, *, carry_s: int = 0,
        also: Also | None = None, once: bool = False,
    ) -> SecretInfo:  # fmt: skip
        def operation(tx: Tx) -> SecretInfo | None:
            active = rows.active_key(tx, tenant)
            if active is None or active.generation != generation:
                return None  # the tenant's key was rotated meanwhile
            present = rows.versions(tx, tenant, str(name))
            if present and once:
                return present[-1]
            if present and name.kind is SecretKind.MODEL:
                raise disk.AlreadyThere(
                    f"the secret {name} is there already",
                    fix="Publish under the next version; a version never changes.",
                )
            version = present[-1].version + 1 if present else 1
            info = SecretInfo(
                tenant, str(name), version, name.kind.value, SecretState.ACTIVE, len(secret), author, tx.now_ms, 0,
                generation,
            )  # fmt: skip
            wrapped = wrap_secret(key, secret, info)
            if also is not None:
                also(tx, info)
            rows.carry(tx, tenant, str(name), tx.now_ms + carry_s * 1000)
            rows.insert_secret(tx, info, wrapped)
            return info

        while True:
            generation, key = self._keys.active(tenant)
            done = self._store.write(operation)
            if done is not None:
                return done

    def _end(
        self, tenant: str, name: str, version: int | None, state: SecretState, *,
        change: Callable[[Tx, SecretInfo], None], also: Also | None,
    ) -> SecretInfo:  # fmt: skip
        def operation(tx: Tx) -> SecretInfo:
            known = rows.versions(tx, tenant, name) if is_public(tenant, name) else []
            wanted = [
                info
                for info in known
                if version in {None, info.version} and info.state not in {state, SecretState.DESTROYED}
            ]
            if not wanted:
                raise unknown(name)
            if also is not None:
                also(tx, wanted[-1])
            for info in wanted:
                change(tx, info)
            return wanted[-1]

        return self._store.write(operation)
