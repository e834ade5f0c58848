"""The console's facts, asked of the administration: its table of roles decides about every one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from strongroom.broker.admin.actions import Administration
from strongroom.broker.admin.desk import LocalDesk
from strongroom.broker.admin.problems import NoSuchThing
from strongroom.broker.admin.roles import Actor
from strongroom.broker.console.facts import (
    AdminFact,
    BrokerFact,
    CheckpointFact,
    CollateralFact,
    FloorFact,
    GroundFact,
    HeadFact,
    LeaseFact,
    Line,
    PolicyFact,
    RevocationFact,
    SecretFact,
    TenantFact,
)
from strongroom.broker.ledger.checkpoint import SignedCheckpoint
from strongroom.broker.store import Store

_STEP: Final = 200
_STEPS: Final = 10  # questions of the administration for one page; each walks far by itself
_LEASE: Final = tuple(LeaseFact.__dataclass_fields__)
_SECRET: Final = tuple(SecretFact.__dataclass_fields__)
_REVOCATION: Final = tuple(RevocationFact.__dataclass_fields__)
_ADMIN: Final = tuple(AdminFact.__dataclass_fields__)
_POLICY: Final = ("tenant", "version", "digest", "author", "created_ms", "state", "votes_needed")


class Administered:
    """Facts over an `Administration`. Threads may share it."""

    def __init__(self, administration: Administration, store: Store) -> None:
        self._administration = administration
        self._store = store

    def _ask(self, actor: Actor, name: str, **arguments: object) -> Any:  # noqa: ANN401  # JSON, typed in admin.views
        return LocalDesk(self._administration, actor).call(name, **arguments)

    def now_ms(self) -> int:
        """Return the time by the store's clock."""
        return self._store.read(lambda tx: tx.now_ms)

    def ground(self, actor: Actor) -> GroundFact:
        """Return brokers, store, root key, collateral, and the end of the ledger."""
        found = self._ask(actor, "status")
        return GroundFact(
            store=found["store"],
            root=found["root"],
            brokers=tuple(BrokerFact(**each) for each in found["brokers"]),
            collateral=tuple(CollateralFact(**each) for each in found["collateral"]),
            head=HeadFact(**found["head"]),
            live_leases=found["live_leases"],
        )

    def head(self, actor: Actor) -> HeadFact:
        """Return the end of the ledger."""
        return HeadFact(**self._ask(actor, "ledger_head"))

    def decisions(
        self, actor: Actor, *, before: int | None, limit: int, keep: Callable[[Mapping[str, Any]], bool] | None = None
    ) -> tuple[tuple[Line, ...], int]:
        """Return decisions, newest first, and the number before which to go on looking."""
        kept: list[Line] = []
        for _ in range(_STEPS):
            wanted = limit if keep is None else _STEP
            found = self._ask(actor, "list_decisions", before=before, limit=wanted)
            for each in found["lines"]:
                before = each["seq"]
                if keep is None or keep(each["entry"]):
                    kept.append(Line(**each))
                if len(kept) == limit:
                    return tuple(kept), each["seq"]
            before = found["before"]
            if not before:
                break
        return tuple(kept), before or 0

    def decision(self, actor: Actor, seq: int) -> Line:
        """Return one decision. Raises NoSuchThing if there is none, or none for this actor."""
        found = self._ask(actor, "list_decisions", before=seq + 1, limit=1)["lines"]
        if not found or found[0]["seq"] != seq:
            raise NoSuchThing(f"line {seq} is no decision")
        return Line(**found[0])

    def lines(self, actor: Actor, limit: int) -> tuple[Line, ...]:
        """Return the newest lines of any kind."""
        return tuple(Line(**each) for each in self._ask(actor, "ledger_lines", limit=limit)["lines"])

    def proof(self, actor: Actor, seq: int) -> Mapping[str, Any]:
        """Return the proof that a decision is in the ledger, as JSON."""
        line, signed = self.decision(actor, seq), self.checkpoint(actor)
        covered = signed is not None and seq < signed.size
        size = signed.size if signed is not None and covered else self.head(actor).seq + 1
        proof = self._ask(actor, "prove_inclusion", seq=seq, size=size)
        return {
            "seq": seq,
            "line": json.dumps(dict(line.entry), separators=(",", ":"), ensure_ascii=True),
            "size": size,
            "hashes": proof["hashes"],
            "checkpoint": signed.text if signed is not None and covered else None,
        }

    def checkpoint(self, actor: Actor) -> CheckpointFact | None:
        """Return the newest signed root; None before the first."""
        found = self._ask(actor, "ledger_checkpoint")
        if not found["checkpoint"]:
            return None
        point = SignedCheckpoint.parse(found["checkpoint"]).checkpoint
        return CheckpointFact(
            size=point.size, time_ms=point.time_ms, root=point.root.hex(), key_id=found["key_id"],
            text=found["checkpoint"],
        )  # fmt: skip

    def leases(self, actor: Actor, tenant: str | None = None) -> tuple[LeaseFact, ...]:
        """Return live leases and those that ended in the last day, newest first."""
        return tuple(
            LeaseFact(**{name: each[name] for name in _LEASE})
            for each in self._ask(actor, "list_leases", tenant=tenant)
        )

    def secrets(self, actor: Actor) -> tuple[SecretFact, ...]:
        """Return the secrets of every tenant that the actor may see."""
        return tuple(
            SecretFact(**{name: each[name] for name in _SECRET})
            for tenant in self.tenants(actor)
            for each in self._ask(actor, "list_keys", tenant=tenant.name)
        )

    def floors(self, actor: Actor) -> tuple[FloorFact, ...]:
        """Return the models' floors."""
        return tuple(FloorFact(**each) for each in self._ask(actor, "list_floors"))

    def revocations(self, actor: Actor) -> tuple[RevocationFact, ...]:
        """Return the revocations in force."""
        found = self._ask(actor, "list_revocations")
        return tuple(RevocationFact(**{name: each[name] for name in _REVOCATION}) for each in found)

    def policies(self, actor: Actor, tenant: str) -> tuple[PolicyFact, ...]:
        """Return the versions of a tenant's policy, newest first."""
        return tuple(
            PolicyFact(**{name: each[name] for name in _POLICY}, votes=tuple(each["votes"]), text=each.get("text", ""))
            for each in self._ask(actor, "policy_history", tenant=tenant)
        )

    def policy_text(self, actor: Actor, tenant: str, version: int) -> str:
        """Return one version as it was written."""
        return str(self._ask(actor, "show_policy", tenant=tenant, version=version)["text"])

    def tenants(self, actor: Actor) -> tuple[TenantFact, ...]:
        """Return the tenants that the actor may see."""
        return tuple(TenantFact(**each) for each in self._ask(actor, "list_tenants"))

    def admins(self, actor: Actor) -> tuple[AdminFact, ...]:
        """Return who may administer."""
        found = self._ask(actor, "list_admins")
        return tuple(AdminFact(**{name: each[name] for name in _ADMIN}) for each in found)

    def end_lease(self, actor: Actor, *, lease: str, reason: str) -> None:
        """End one lease."""
        self._ask(actor, "end_lease", lease=lease, reason=reason)

    def revoke(self, actor: Actor, *, tenant: str, kind: str, value: str, reason: str) -> int:
        """Revoke, and return how many leases that ended."""
        found = self._ask(actor, "add_revocation", tenant=tenant, kind=kind, value=value, reason=reason)
        return len(found["ended"])
