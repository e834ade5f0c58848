"""What every action goes through: the table of roles first, then one transaction with its line in the ledger."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from strongroom.broker import tenants
from strongroom.broker.admin.roles import Actor, no_tenant, permit
from strongroom.broker.admin.views import CollateralView
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.policy.policies import Policies
from strongroom.broker.store import Store, Tx

MAX_LISTED: Final = 10_000  # rows of one answer
T = TypeVar("T")
S = TypeVar("S")
P = ParamSpec("P")


def action(method: Callable[Concatenate[S, Actor, P], T]) -> Callable[Concatenate[S, Actor, P], T]:
    """Let a method run only for actors whom the table permits the action of its name, for the tenant it names."""
    name = method.__name__

    @functools.wraps(method)
    def permitted(self: S, actor: Actor, /, *args: P.args, **arguments: P.kwargs) -> T:
        tenant = arguments.get("tenant")
        permit(actor, name, tenant if isinstance(tenant, str) else None)
        return method(self, actor, *args, **arguments)

    permitted.is_action = True  # type: ignore[attr-defined]  # a test finds the actions by it
    return permitted


def collateral_unknown() -> Sequence[CollateralView]:
    """Return nothing: who administers a store without a broker's collateral."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an administration works on."""

    store: Store
    keyring: Keyring
    ledger: Ledger
    policies: Policies
    root: str = ""  # what holds the root key, for people
    collateral: Callable[[], Sequence[CollateralView]] = collateral_unknown
    changed: Callable[[str], None] = lambda _: None  # told the action after each change


class Actions:
    """The common part of all actions."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @property
    def _store(self) -> Store:
        return self._parts.store

    def _change(
        self, actor: Actor, name: str, operation: Callable[[Tx], T], about: Callable[[T], Mapping[str, Any]]
    ) -> T:
        """Run a change and write its line in one transaction; `about` says what it came to, without anything secret."""

        def run(tx: Tx) -> T:
            result = operation(tx)
            self._note(tx, actor, name, about(result))
            return result

        return self._store.write(run)

    def _note(self, tx: Tx, actor: Actor, name: str, about: Mapping[str, Any]) -> None:
        """Write the ledger's line about a change into the transaction of the change."""
        self._parts.ledger.append(
            tx, {"kind": "admin", "action": name, "actor": actor.to_json_object(), **about}
        )  # fmt: skip


def existing_tenant(tx: Tx, tenant: str) -> None:
    """Raise UnknownTenant unless the tenant is there."""
    if tenants.find(tx, tenant) is None:
        raise no_tenant(tenant)


def visible(actor: Actor, tenant: str | None) -> str | None:
    """Return the one tenant whose things are listed for this actor; None: everybody's."""
    return actor.tenant if actor.confined else tenant
