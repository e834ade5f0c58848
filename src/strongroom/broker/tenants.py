"""The tenants of a broker: each has its own policy, keys, floors and leases, and sees nothing of the others'.

World: the table `tenants`, through the transaction that the caller passes. Whoever asks for a tenant that is unknown
or suspended gets the answer of an unknown secret (threat KD-17): nothing tells them apart but the owner's log.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom.broker.names import DEFAULT_TENANT, check_tenant
from strongroom.broker.release import NO_TENANT, Denial, DenialReason
from strongroom.broker.store import Tx
from strongroom.errors import BadInput

MAX_TENANTS: Final = 10_000


class TenantState(StrEnum):
    """Whether a tenant's secrets may be released."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class TenantTaken(BadInput):
    """A tenant of this name is there already."""

    code = "SR-TENANT-TAKEN"
    fix = "Choose another name, or go on with the tenant that is there."


class UnknownTenant(BadInput):
    """There is no tenant of this name."""

    code = "SR-UNKNOWN-TENANT"
    fix = "Run strongroom tenant list for the names, or create it with strongroom tenant create."


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One tenant."""

    name: str
    state: TenantState
    created_ms: int

    @property
    def serves(self) -> bool:
        """Whether anything of this tenant's may be released."""
        return self.state is TenantState.ACTIVE


def create(tx: Tx, name: str) -> Tenant:
    """Add an active tenant without policy or keys. Raises BadSecretName or TenantTaken."""
    check_tenant(name)
    if find(tx, name) is not None:
        raise TenantTaken(f"the tenant {name} is there already")
    [[count]] = tx.execute("SELECT COUNT(*) FROM tenants")
    if count >= MAX_TENANTS:
        raise TenantTaken(f"there are {MAX_TENANTS} tenants, and no more are kept", fix="Use a further broker.")
    found = Tenant(name=name, state=TenantState.ACTIVE, created_ms=tx.now_ms)
    tx.execute(
        "INSERT INTO tenants (name, state, created_ms, settings) VALUES (?, ?, ?, ?)",
        (name, found.state.value, tx.now_ms, "{}"),
    )
    return found


def ensure_default(tx: Tx) -> None:
    """Add the first tenant to a new store."""
    if find(tx, DEFAULT_TENANT) is None:
        create(tx, DEFAULT_TENANT)


def suspend(tx: Tx, name: str) -> Tenant:
    """Release nothing more of a tenant's, until it is resumed; its leases are the caller's to end."""
    return _set(tx, name, TenantState.SUSPENDED)


def resume(tx: Tx, name: str) -> Tenant:
    """Let a suspended tenant's rules count again."""
    return _set(tx, name, TenantState.ACTIVE)


def find(tx: Tx, name: str) -> Tenant | None:
    """Return a tenant, or None. Raises BadSecretName."""
    rows = tx.execute("SELECT name, state, created_ms FROM tenants WHERE name = ?", (check_tenant(name),))
    return _of_row(*rows[0]) if rows else None


def all_tenants(tx: Tx) -> tuple[Tenant, ...]:
    """Return every tenant by name."""
    rows = tx.execute(f"SELECT name, state, created_ms FROM tenants ORDER BY name LIMIT {MAX_TENANTS}")  # noqa: S608  # a constant
    return tuple(_of_row(*row) for row in rows)


def active(tx: Tx, name: str) -> bool:
    """Return whether anything of this tenant may be released. Raises BadSecretName."""
    found = find(tx, name)
    return found is not None and found.serves


def refusal(name: str) -> Denial:
    """Return the denial for a tenant that is unknown or suspended; the peer sees what it always does."""
    reason = DenialReason(
        code=NO_TENANT, rule="", word="tenant", observed=f"a request for the tenant {name[:63]!r}",
        expected="a tenant that is known and not suspended",
        fix="Create or resume it with strongroom tenant, or correct the name that the client asks for.",
    )  # fmt: skip
    return Denial((reason,))


def _set(tx: Tx, name: str, state: TenantState) -> Tenant:
    found = find(tx, name)
    if found is None:
        raise UnknownTenant(f"there is no tenant {name}")
    tx.execute("UPDATE tenants SET state = ? WHERE name = ?", (state.value, name))
    return Tenant(name=name, state=state, created_ms=found.created_ms)


def _of_row(name: str, state: str, created_ms: int) -> Tenant:
    return Tenant(name=name, state=TenantState(state), created_ms=created_ms)
