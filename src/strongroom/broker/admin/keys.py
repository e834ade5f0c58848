"""Secrets by name: what there is, and what becomes of it. Values go in and never come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from strongroom.broker.admin.base import Actions, action, existing_tenant
from strongroom.broker.admin.problems import NoSuchThing, Outdated
from strongroom.broker.admin.roles import Actor
from strongroom.broker.admin.views import KeyView, RewrapView
from strongroom.broker.keyring.rows import SecretInfo
from strongroom.broker.names import SecretName
from strongroom.broker.store import Tx
from strongroom.secret import Secret


class KeyActions(Actions):
    """Actions on a tenant's secrets."""

    @action
    def list_keys(self, actor: Actor, *, tenant: str) -> list[KeyView]:  # noqa: ARG002  # the table asked who acts
        """Return every version of a tenant's secrets, without the values. Raises UnknownTenant."""
        self._check_tenant(tenant)
        return [_view(info) for info in self._parts.keyring.infos(tenant)]

    @action
    def put_key(self, actor: Actor, *, tenant: str, name: str, value: Secret, expected: int) -> KeyView:
        """Keep a secret that was made elsewhere, as the version after `expected` (0: the first).

        Raises Outdated where another version is the newest by now, UnknownTenant, and what `Keyring.put` raises.
        """
        self._check_tenant(tenant)
        self._check_newest(tenant, name, expected)
        also = self._also(actor, "put_key", expected)
        return _view(self._parts.keyring.put(tenant, name, value, actor.name, also=also))

    @action
    def create_key(self, actor: Actor, *, tenant: str, name: str) -> KeyView:
        """Make a random secret that nobody has seen. Raises Outdated where the name is taken, or UnknownTenant."""
        self._check_tenant(tenant)
        self._check_newest(tenant, name, 0)
        return _view(self._parts.keyring.create(tenant, name, actor.name, also=self._also(actor, "create_key", 0)))

    @action
    def rotate_key(self, actor: Actor, *, tenant: str, name: str, expected: int) -> KeyView:
        """Make the version after `expected`; the one before is still given out for a day to who asks for it.

        Raises Outdated where another version is the newest by now, UnknownTenant, and what `Keyring.rotate` raises.
        """
        self._check_tenant(tenant)
        self._check_newest(tenant, name, expected)
        also = self._also(actor, "rotate_key", expected)
        return _view(self._parts.keyring.rotate(tenant, name, actor.name, also=also))

    @action
    def retire_key(self, actor: Actor, *, tenant: str, name: str, version: int) -> KeyView:
        """Give a version out no more; its value stays. Raises UnknownSecret or UnknownTenant."""
        self._check_tenant(tenant)
        also = self._also(actor, "retire_key")
        return _view(self._parts.keyring.retire(tenant, name, version, also=also))

    @action
    def destroy_key(self, actor: Actor, *, tenant: str, name: str, version: int) -> KeyView:
        """Erase a version's value for ever; its line stays. Raises UnknownSecret or UnknownTenant."""
        self._check_tenant(tenant)
        also = self._also(actor, "destroy_key")
        return _view(self._parts.keyring.destroy(tenant, name, version, also=also))

    @action
    def rewrap_keys(self, actor: Actor, *, tenant: str) -> RewrapView:
        """Give a tenant a new key of its own and wrap all its secrets under it. Raises UnknownSecret."""
        self._check_tenant(tenant)

        def also(tx: Tx) -> None:
            self._note(tx, actor, "rewrap_keys", {"tenant": tenant})

        return RewrapView(tenant=tenant, generation=self._parts.keyring.rotate_tenant(tenant, also=also))

    def _check_tenant(self, tenant: str) -> None:
        self._store.read(lambda tx: existing_tenant(tx, tenant))

    def _check_newest(self, tenant: str, name: str, expected: int) -> None:
        """Say early what the transaction itself would find: a retry is told what became of the first attempt."""
        name = str(SecretName.parse(name))
        newest = max((info.version for info in self._parts.keyring.infos(tenant) if info.name == name), default=0)
        if newest == expected:
            return
        if newest == 0:
            raise NoSuchThing(f"there is no secret {name!r}")
        if expected == 0:
            rotate = "Make its next version with strongroom key rotate, or ask again with the version that is there."
            raise Outdated(f"{name} is there already: the newest version is {newest}", fix=rotate)
        raise Outdated(f"the newest version of {name} is {newest}, not {expected}")

    def _also(self, actor: Actor, name: str, expected: int | None = None) -> Callable[[Tx, SecretInfo], None]:
        """Return what runs in the keyring's transaction: the check against a race, and the line of the ledger."""

        def also(tx: Tx, info: SecretInfo) -> None:
            if expected is not None and info.version != expected + 1:
                raise Outdated(f"the newest version of {info.name} is {info.version - 1} by now, not {expected}")
            about: dict[str, Any] = {"tenant": info.tenant, "secret": info.name, "version": info.version}
            self._note(tx, actor, name, about)

        return also


def _view(info: SecretInfo) -> KeyView:
    return KeyView(
        tenant=info.tenant, name=info.name, version=info.version, kind=info.kind, state=info.state.value,
        bytes=info.bytes, author=info.author, created_ms=info.created_ms, until_ms=info.until_ms,
    )  # fmt: skip
