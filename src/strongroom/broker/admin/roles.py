"""Who may do what: four roles, and one table with a line for every action. Pure.

Deny by default: an action without a line is refused to everybody, and a test fails for it. An actor is confined to one
tenant, or to none (`*`); for a confined actor other tenants do not exist (threats KD-17, SV-16).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from strongroom.broker.admin.problems import NotAllowed
from strongroom.broker.tenants import UnknownTenant

ALL_TENANTS: Final = "*"
WORKSPACE: Final = "workspace:"  # begins the name of who acts on the owner's own machine; no person is called so


class Role(StrEnum):
    """What a person is trusted with."""

    OWNER = "owner"  # everything
    KEEPER = "keeper"  # keys and secrets
    OPERATOR = "operator"  # leases and revocations
    AUDITOR = "auditor"  # reads everything, changes nothing


class Reach(StrEnum):
    """What an action touches."""

    TENANT = "tenant"  # one tenant, or what belongs to it
    BROKER = "broker"  # all tenants at once: only for who is confined to none
    OWN = "own"  # nothing but what the actor may see anyway


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One person (or the workspace's own command line), as the ledger names them."""

    name: str
    role: Role
    tenant: str = ALL_TENANTS
    fingerprint: str = ""  # of the certificate that was presented: SHA-256, hex; empty on the owner's own machine

    @property
    def confined(self) -> bool:
        """Whether there is only one tenant for this actor."""
        return self.tenant != ALL_TENANTS

    def sees(self, tenant: str) -> bool:
        """Return whether a tenant exists for this actor."""
        return not self.confined or self.tenant == tenant

    def to_json_object(self) -> dict[str, str]:
        """Return the actor as the ledger and the API write it."""
        return {"name": self.name, "role": self.role.value, "tenant": self.tenant, "fingerprint": self.fingerprint}


@dataclass(frozen=True, slots=True)
class Permission:
    """Who may take one action."""

    roles: frozenset[Role]
    reach: Reach


_OWNER: Final = frozenset({Role.OWNER})
_KEEPERS: Final = frozenset({Role.OWNER, Role.KEEPER})
_OPERATORS: Final = frozenset({Role.OWNER, Role.OPERATOR})
_READERS: Final = frozenset(Role)
_KEY_READERS: Final = frozenset({Role.OWNER, Role.KEEPER, Role.AUDITOR})
_RUN_READERS: Final = frozenset({Role.OWNER, Role.OPERATOR, Role.AUDITOR})
_AUDITORS: Final = frozenset({Role.OWNER, Role.AUDITOR})

PERMISSIONS: Final[Mapping[str, Permission]] = MappingProxyType(
    {
        "whoami": Permission(_READERS, Reach.OWN),
        "create_login": Permission(_READERS, Reach.OWN),
        "status": Permission(_READERS, Reach.OWN),
        "list_tenants": Permission(_READERS, Reach.OWN),
        "create_tenant": Permission(_OWNER, Reach.BROKER),
        "suspend_tenant": Permission(_OWNER, Reach.BROKER),
        "resume_tenant": Permission(_OWNER, Reach.BROKER),
        "list_admins": Permission(_AUDITORS, Reach.OWN),
        "add_admin": Permission(_OWNER, Reach.TENANT),
        "suspend_admin": Permission(_OWNER, Reach.OWN),
        "resume_admin": Permission(_OWNER, Reach.OWN),
        "remove_admin": Permission(_OWNER, Reach.OWN),
        "list_keys": Permission(_KEY_READERS, Reach.TENANT),
        "put_key": Permission(_KEEPERS, Reach.TENANT),
        "create_key": Permission(_KEEPERS, Reach.TENANT),
        "rotate_key": Permission(_KEEPERS, Reach.TENANT),
        "retire_key": Permission(_KEEPERS, Reach.TENANT),
        "destroy_key": Permission(_OWNER, Reach.TENANT),
        "rewrap_keys": Permission(_OWNER, Reach.TENANT),
        "list_leases": Permission(_RUN_READERS, Reach.OWN),
        "end_lease": Permission(_OPERATORS, Reach.OWN),
        "list_revocations": Permission(_RUN_READERS, Reach.OWN),
        "add_revocation": Permission(_OPERATORS, Reach.TENANT),
        "lift_revocation": Permission(_OWNER, Reach.OWN),
        "list_floors": Permission(_RUN_READERS, Reach.OWN),
        "raise_floor": Permission(_OPERATORS, Reach.TENANT),
        "show_policy": Permission(_RUN_READERS, Reach.TENANT),
        "policy_history": Permission(_RUN_READERS, Reach.TENANT),
        "diff_policy": Permission(_RUN_READERS, Reach.TENANT),
        "put_policy": Permission(_OWNER, Reach.TENANT),
        "policy_ballot": Permission(_AUDITORS, Reach.TENANT),
        "approve_policy": Permission(_OWNER, Reach.TENANT),
        "withdraw_policy": Permission(_OWNER, Reach.TENANT),
        "list_decisions": Permission(_RUN_READERS, Reach.OWN),
        "ledger_head": Permission(_READERS, Reach.OWN),
        "ledger_checkpoint": Permission(_READERS, Reach.OWN),
        "ledger_lines": Permission(_AUDITORS, Reach.BROKER),
        "prove_inclusion": Permission(_RUN_READERS, Reach.OWN),
        "prove_consistency": Permission(_READERS, Reach.OWN),
    }
)


def permit(actor: Actor, action: str, tenant: str | None = None) -> None:
    """Return if the table lets `actor` take `action` for `tenant`. Raises NotAllowed or UnknownTenant.

    The role is asked first: its answer is the same whether the tenant exists or not.
    """
    permission = PERMISSIONS.get(action)
    if permission is None or actor.role not in permission.roles:
        raise NotAllowed(f"the role {actor.role.value} does not include {action.replace('_', ' ')}")
    if actor.confined and permission.reach is Reach.BROKER:
        raise NotAllowed(f"{action.replace('_', ' ')} is not for an actor of one tenant")
    if tenant is not None and not actor.sees(tenant):
        raise no_tenant(tenant)


def no_tenant(tenant: str) -> UnknownTenant:
    """Return the one error for a tenant that is not there, or not for this actor."""
    return UnknownTenant(f"there is no tenant {tenant}")
