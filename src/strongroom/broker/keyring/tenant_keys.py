"""The keys between root and secrets: one for each tenant, in generations; unwrapped once, wrapped anew when asked.

World: the store and the root key. What was unwrapped stays in memory until `close`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from strongroom.broker.keyring import envelope, rows
from strongroom.broker.keyring.envelope import EnvelopeTampered
from strongroom.broker.keyring.kinds import is_name, key_context, secret_context, wrap_secret
from strongroom.broker.keyring.root_key import RootKey, RootMissing, new_root_key
from strongroom.broker.keyring.rows import KeyRow, SecretState
from strongroom.broker.names import check_tenant
from strongroom.broker.store import Store, Tx
from strongroom.secret import Secret
from strongroom.workspace import UnknownSecret

BROKER_TENANT: Final = "_broker"  # no tenant's name can be this: what the broker itself signs with is under it
Progress = Callable[[int, int], None]
Also = Callable[[Tx], None]


class TenantKeys:
    """The unwrapped keys of a store's tenants. Threads may share it."""

    def __init__(self, store: Store, root: RootKey) -> None:
        self.root = root
        self._store = store
        self._unwrapped: dict[tuple[str, int], Secret] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Overwrite what is unwrapped and leave the root key."""
        with self._lock:
            for key in self._unwrapped.values():
                key.wipe()
            self._unwrapped.clear()
        self.root.close()

    def key(self, tx: Tx, tenant: str, generation: int) -> Secret:
        """Return a tenant's key; from memory where it was used before."""
        cached = self._unwrapped.get((tenant, generation))
        if cached is not None:
            return cached
        row = rows.key_of(tx, tenant, generation)
        if row is None:
            raise EnvelopeTampered(f"generation {generation} of the key of tenant {tenant} is gone")
        return self._unwrap(row)

    def active(self, tenant: str) -> tuple[int, Secret]:
        """Return generation and key that wrap what is new; a tenant's first is made here."""
        row = self._store.read(lambda tx: rows.active_key(tx, tenant))
        if row is None:
            key, new = self._new_key(tenant, 1)
            row = self._store.write(lambda tx: self._first(tx, new))
            if row == new:
                self._remember(tenant, row.generation, key)
        return row.generation, self._unwrap(row)

    def rotate(self, tenant: str, *, also: Also | None = None) -> int:
        """Give a tenant a new key and wrap all its secrets under it; return the generation. Raises UnknownSecret."""
        while True:
            old = self._store.read(lambda tx: rows.active_key(tx, tenant)) if is_name(check_tenant, tenant) else None
            if old is None:
                raise UnknownSecret(
                    f"there is no tenant {tenant[:64]!r} with secrets", fix="Correct the tenant's name."
                )
            generation = old.generation + 1
            key, new = self._new_key(tenant, generation)
            if self._store.write(partial(self._move, new=new, key=key, also=also)):
                self._remember(tenant, generation, key)
                return generation

    def rewrap(self, root: RootKey, *, progress: Progress | None = None, also: Also | None = None) -> int:
        """Wrap every tenant's key under another root key, in one transaction; return how many.

        `root` has to be kept durably by the caller before, the old one until this returns. Raises RootMissing if the
        store is under another root key than this keyring's by now.
        """
        fresh: dict[KeyRow, bytes] = {}
        while True:
            present = self._store.read(rows.live_keys)
            for row in present:
                self._check_root([row.root_id])
                if row not in fresh:
                    fresh[row] = root.wrap(self._unwrap(row), key_context(row.tenant, row.generation))
                    if progress is not None:
                        progress(len(fresh), len(present))
            if self._store.write(lambda tx: _exchange(tx, fresh, root.id, also)):
                self.root = root
                return len(present)

    def _unwrap(self, row: KeyRow) -> Secret:
        cached = self._unwrapped.get((row.tenant, row.generation))
        if cached is not None:
            return cached
        self._check_root([row.root_id])
        key = self.root.unwrap(row.wrapped, key_context(row.tenant, row.generation))
        return self._remember(row.tenant, row.generation, key)

    def _remember(self, tenant: str, generation: int, key: Secret) -> Secret:
        with self._lock:
            return self._unwrapped.setdefault((tenant, generation), key)

    def _new_key(self, tenant: str, generation: int) -> tuple[Secret, KeyRow]:
        key = new_root_key()
        wrapped = self.root.wrap(key, key_context(tenant, generation))
        return key, KeyRow(tenant, generation, wrapped, self.root.id, 0)

    def _first(self, tx: Tx, new: KeyRow) -> KeyRow:
        present = rows.active_key(tx, new.tenant)
        if present is not None:
            return present
        self._check_root(rows.root_ids(tx))
        rows.insert_key(tx, new, at_ms=tx.now_ms)
        return new

    def _check_root(self, ids: Sequence[str]) -> None:
        others = [each for each in ids if each != self.root.id]
        if others:
            raise RootMissing(f"the store is under root key {others[0]}, this is {self.root.id}")

    def _move(self, tx: Tx, *, new: KeyRow, key: Secret, also: Also | None) -> bool:
        """Wrap a tenant's secrets under its new key; False if it got one meanwhile."""
        if rows.next_generation(tx, new.tenant) != new.generation:
            return False
        self._check_root(rows.root_ids(tx))
        moved = []
        for row in rows.of_tenant(tx, new.tenant):
            if row.info.state is not SecretState.DESTROYED:
                old = self.key(tx, new.tenant, row.info.generation)
                secret = envelope.unwrap(old, row.wrapped, secret_context(row.info))
                moved.append((row.info, wrap_secret(key, secret, row.info, new.generation)))
        if also is not None:
            also(tx)
        rows.insert_key(tx, new, at_ms=tx.now_ms)
        for info, wrapped in moved:
            rows.rewrap_secret(tx, info, wrapped, new.generation)
        rows.replace_keys(tx, new.tenant, below=new.generation)
        return True


def _exchange(tx: Tx, fresh: dict[KeyRow, bytes], root_id: str, also: Also | None) -> bool:
    """Put the new wrappings in place; False if a key came or changed since they were made."""
    present = rows.live_keys(tx)
    if any(row not in fresh for row in present):
        return False
    if also is not None:
        also(tx)
    for row in present:
        rows.rewrap_key(tx, row, fresh[row], root_id)
    return True
