"""What runs: leases, revocations and the models' floors."""

from __future__ import annotations

from typing import Final, cast

from strongroom.broker import floors, leases, revocations
from strongroom.broker.admin.base import MAX_LISTED, Actions, action, existing_tenant, visible
from strongroom.broker.admin.problems import NoSuchThing
from strongroom.broker.admin.roles import ALL_TENANTS, Actor
from strongroom.broker.admin.views import FloorView, LeaseView, RevocationView, RevokedView
from strongroom.broker.floors import ModelFloor
from strongroom.broker.leases import Lease
from strongroom.broker.revocations import Revocation
from strongroom.broker.store import Tx

SHOWN_MS: Final = 24 * 3600 * 1000  # leases that ended are listed for a day
LAPSED: Final = "lapsed"  # its time ran out; `ended` is what somebody ended
_LEASE: Final = tuple(LeaseView.__annotations__)


class RunningActions(Actions):
    """Actions on what replicas hold, and on what they get no more."""

    @action
    def list_leases(self, actor: Actor, *, tenant: str | None = None) -> list[LeaseView]:
        """Return live leases and those that ended in the last day, newest first."""

        def read(tx: Tx) -> list[LeaseView]:
            whose = visible(actor, tenant)
            condition, value = ("", ()) if whose is None else (" AND tenant = ?", (whose,))
            rows = tx.execute(
                f"SELECT {', '.join(_LEASE)} FROM leases WHERE expires_ms > ?{condition}"  # noqa: S608  # constants
                f" ORDER BY granted_ms DESC, id LIMIT {MAX_LISTED}",
                (tx.now_ms - SHOWN_MS, *value),
            )
            found = (Lease(**dict(zip(_LEASE, row, strict=True))) for row in rows)
            return [_lease_view(lease, tx.now_ms) for lease in found]

        return self._store.read(read)

    @action
    def end_lease(self, actor: Actor, *, lease: str, reason: str) -> LeaseView:
        """End a live lease. Raises NoSuchThing."""

        def change(tx: Tx) -> LeaseView:
            ended = leases.end(tx, lease, tenant=visible(actor, None))
            if ended is None:
                raise NoSuchThing(f"no lease {lease!r} is live")
            return _lease_view(ended, tx.now_ms)

        return self._change(
            actor, "end_lease", change,
            lambda view: {"tenant": view["tenant"], "lease": lease, "secret": view["secret"], "reason": reason},
        )  # fmt: skip

    @action
    def list_revocations(self, actor: Actor, *, tenant: str | None = None) -> list[RevocationView]:
        """Return the revocations in force, oldest first; those for all tenants are everybody's."""
        found = self._store.read(lambda tx: revocations.active(tx, visible(actor, tenant)))
        return [_revocation_view(each) for each in found]

    @action
    def add_revocation(self, actor: Actor, *, tenant: str, kind: str, value: str, reason: str) -> RevokedView:
        """Put a revocation in force, and end the leases it touches. Raises RevocationMalformed or UnknownTenant."""

        def change(tx: Tx) -> RevokedView:
            if tenant != ALL_TENANTS:
                existing_tenant(tx, tenant)
            done = revocations.revoke(tx, kind=kind, value=value, author=actor.name, reason=reason, tenant=tenant)
            view = _revocation_view(done.revocation)
            return RevokedView(revocation=view, ended=[lease.id for lease in done.ended])

        return self._change(
            actor, "add_revocation", change,
            lambda view: {
                "tenant": tenant, "revocation": view["revocation"]["id"], "of": view["revocation"]["kind"],
                "value": view["revocation"]["value"], "reason": reason, "ended": len(view["ended"]),
            },
        )  # fmt: skip

    @action
    def lift_revocation(self, actor: Actor, *, revocation: str, reason: str) -> RevocationView:
        """Take a revocation out of force. Raises RevocationUnknown."""

        def change(tx: Tx) -> RevocationView:
            view = _revocation_view(revocations.lift(tx, revocation, tenant=visible(actor, None)))
            view["lifted_ms"] = tx.now_ms
            return view

        return self._change(
            actor, "lift_revocation", change,
            lambda view: {"tenant": view["tenant"], "revocation": revocation, "of": view["kind"],
                          "value": view["value"], "reason": reason},
        )  # fmt: skip

    @action
    def list_floors(self, actor: Actor, *, tenant: str | None = None) -> list[FloorView]:
        """Return the models' floors, by tenant and model."""
        return [_floor_view(each) for each in self._store.read(lambda tx: floors.floors(tx, visible(actor, tenant)))]

    @action
    def raise_floor(self, actor: Actor, *, tenant: str, model: str, version: int) -> FloorView:
        """Release no version of a model below `version` any more. Raises FloorLowered or UnknownTenant."""

        def change(tx: Tx) -> FloorView:
            existing_tenant(tx, tenant)
            return _floor_view(floors.raise_floor(tx, tenant, model, version, actor.name))

        return self._change(
            actor, "raise_floor", change, lambda _: {"tenant": tenant, "model": model, "min_version": version}
        )


def _lease_view(lease: Lease, now_ms: int) -> LeaseView:
    view = cast("LeaseView", {name: getattr(lease, name) for name in _LEASE})
    lapsed = lease.state == leases.LIVE and lease.expires_ms <= now_ms
    view["state"] = LAPSED if lapsed else lease.state
    return view


def _revocation_view(each: Revocation) -> RevocationView:
    return RevocationView(
        id=each.id, tenant=each.tenant, kind=each.kind.value, value=each.value, reason=each.reason,
        author=each.author, created_ms=each.created_ms, lifted_ms=each.lifted_ms,
    )  # fmt: skip


def _floor_view(each: ModelFloor) -> FloorView:
    return FloorView(
        tenant=each.tenant, model=each.model, min_version=each.min_version, author=each.author, set_ms=each.set_ms
    )
