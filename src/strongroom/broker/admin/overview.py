"""What the broker stands on, and its tenants."""

from __future__ import annotations

from strongroom import __version__
from strongroom.broker import leases, revocations, tenants
from strongroom.broker.admin.base import Actions, action
from strongroom.broker.admin.roles import Actor
from strongroom.broker.admin.views import BrokerView, HeadView, StatusView, TenantView
from strongroom.broker.store import Tx
from strongroom.broker.tenants import Tenant


class OverviewActions(Actions):
    """Actions on the whole, and on tenants."""

    @action
    def status(self, actor: Actor) -> StatusView:
        """Return what the broker stands on, and counts of what the actor may see."""
        whose = actor.tenant if actor.confined else None

        def read(tx: Tx) -> tuple[int, list[BrokerView], int, int, int]:
            seen = len(_tenants(tx, actor))
            live = sum(count for (tenant, _), count in leases.counts(tx).items() if actor.sees(tenant))
            return tx.now_ms, _brokers(tx), seen, live, len(revocations.active(tx, whose))

        now_ms, brokers, seen, live, revoked = self._store.read(read)
        head = self._parts.ledger.head()
        return StatusView(
            version=__version__, now_ms=now_ms, store=self._store.description, shared=self._store.shared,
            root=self._parts.root, brokers=brokers, collateral=list(self._parts.collateral()),
            head=HeadView(seq=head.seq, digest=head.digest), tenants=seen, live_leases=live, revocations=revoked,
        )  # fmt: skip

    @action
    def list_tenants(self, actor: Actor) -> list[TenantView]:
        """Return the tenants that exist for the actor, by name."""
        return self._store.read(lambda tx: _tenants(tx, actor))

    @action
    def create_tenant(self, actor: Actor, *, tenant: str) -> TenantView:
        """Make a tenant that nothing is released to yet. Raises TenantTaken or BadSecretName."""
        return self._change(
            actor, "create_tenant", lambda tx: _view(tenants.create(tx, tenant)), lambda _: {"tenant": tenant}
        )

    @action
    def suspend_tenant(self, actor: Actor, *, tenant: str) -> TenantView:
        """Release nothing to a tenant's replicas until it is resumed, and end its leases. Raises UnknownTenant."""

        def change(tx: Tx) -> tuple[TenantView, int]:
            view = _view(tenants.suspend(tx, tenant))
            held = leases.live(tx, tenant)
            for lease in held:
                leases.end(tx, lease.id)
            return view, len(held)

        done = self._change(actor, "suspend_tenant", change, lambda done: {"tenant": tenant, "ended": done[1]})
        self._parts.policies.look_again()
        return done[0]

    @action
    def resume_tenant(self, actor: Actor, *, tenant: str) -> TenantView:
        """Release to a suspended tenant's replicas again. Raises UnknownTenant."""
        view = self._change(
            actor, "resume_tenant", lambda tx: _view(tenants.resume(tx, tenant)), lambda _: {"tenant": tenant}
        )
        self._parts.policies.look_again()
        return view


def _tenants(tx: Tx, actor: Actor) -> list[TenantView]:
    return [_view(each) for each in tenants.all_tenants(tx) if actor.sees(each.name)]


def _view(tenant: Tenant) -> TenantView:
    return TenantView(name=tenant.name, state=tenant.state.value, created_ms=tenant.created_ms)


def _brokers(tx: Tx) -> list[BrokerView]:
    rows = tx.execute("SELECT id, address, version, started_ms, seen_ms FROM brokers ORDER BY started_ms, id")
    return [
        BrokerView(id=id_, address=address, version=version, started_ms=started_ms, seen_ms=seen_ms)
        for id_, address, version, started_ms, seen_ms in rows
    ]
