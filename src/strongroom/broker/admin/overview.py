"""What the broker stands on, and its tenants."""

from __future__ import annotations

from strongroom import __version__
from strongroom.broker import leases, revocations
from strongroom.broker.admin.base import ACTIVE, MAX_LISTED, SUSPENDED, Actions, action
from strongroom.broker.admin.problems import AlreadySo
from strongroom.broker.admin.roles import Actor, no_tenant
from strongroom.broker.admin.views import BrokerView, HeadView, StatusView, TenantView
from strongroom.broker.names import check_tenant
from strongroom.broker.store import Tx


class OverviewActions(Actions):
    """Actions on the whole, and on tenants."""

    @action
    def status(self, actor: Actor) -> StatusView:
        """Return what the broker stands on, and counts of what the actor may see."""
        whose = actor.tenant if actor.confined else None

        def read(tx: Tx) -> tuple[int, list[BrokerView], int, int, int]:
            tenants = len(_tenants(tx, actor))
            live = sum(count for (tenant, _), count in leases.counts(tx).items() if actor.sees(tenant))
            return tx.now_ms, _brokers(tx), tenants, live, len(revocations.active(tx, whose))

        now_ms, brokers, tenants, live, revoked = self._store.read(read)
        head = self._parts.ledger.head()
        return StatusView(
            version=__version__, now_ms=now_ms, store=self._store.description, shared=self._store.shared,
            root=self._parts.root, brokers=brokers, collateral=list(self._parts.collateral()),
            head=HeadView(seq=head.seq, digest=head.digest), tenants=tenants, live_leases=live, revocations=revoked,
        )  # fmt: skip

    @action
    def list_tenants(self, actor: Actor) -> list[TenantView]:
        """Return the tenants that exist for the actor, by name."""
        return self._store.read(lambda tx: _tenants(tx, actor))

    @action
    def create_tenant(self, actor: Actor, *, tenant: str) -> TenantView:
        """Make a tenant that nothing is released to yet. Raises AlreadySo or BadSecretName."""
        check_tenant(tenant)

        def change(tx: Tx) -> TenantView:
            if tx.execute("SELECT 1 FROM tenants WHERE name = ?", (tenant,)):
                raise AlreadySo(f"there is a tenant {tenant!r} already")
            tx.execute(
                "INSERT INTO tenants (name, state, created_ms, settings) VALUES (?, ?, ?, ?)",
                (tenant, ACTIVE, tx.now_ms, "{}"),
            )
            return TenantView(name=tenant, state=ACTIVE, created_ms=tx.now_ms)

        return self._change(actor, "create_tenant", change, lambda _: {"tenant": tenant})

    @action
    def suspend_tenant(self, actor: Actor, *, tenant: str) -> TenantView:
        """Release nothing to a tenant's replicas until it is resumed. Raises NoSuchThing."""
        return self._set_tenant_state(actor, "suspend_tenant", tenant, SUSPENDED)

    @action
    def resume_tenant(self, actor: Actor, *, tenant: str) -> TenantView:
        """Release to a suspended tenant's replicas again. Raises NoSuchThing."""
        return self._set_tenant_state(actor, "resume_tenant", tenant, ACTIVE)

    def _set_tenant_state(self, actor: Actor, name: str, tenant: str, state: str) -> TenantView:
        def change(tx: Tx) -> TenantView:
            rows = tx.execute("SELECT created_ms FROM tenants WHERE name = ?", (tenant,))
            if not rows:
                raise no_tenant(tenant)
            tx.execute("UPDATE tenants SET state = ? WHERE name = ?", (state, tenant))
            return TenantView(name=tenant, state=state, created_ms=rows[0][0])

        return self._change(actor, name, change, lambda _: {"tenant": tenant})


def _tenants(tx: Tx, actor: Actor) -> list[TenantView]:
    condition, value = (" WHERE name = ?", (actor.tenant,)) if actor.confined else ("", ())
    rows = tx.execute(
        f"SELECT name, state, created_ms FROM tenants{condition} ORDER BY name LIMIT {MAX_LISTED}",  # noqa: S608
        value,
    )
    return [TenantView(name=name, state=state, created_ms=created_ms) for name, state, created_ms in rows]


def _brokers(tx: Tx) -> list[BrokerView]:
    rows = tx.execute("SELECT id, address, version, started_ms, seen_ms FROM brokers ORDER BY started_ms, id")
    return [
        BrokerView(id=id_, address=address, version=version, started_ms=started_ms, seen_ms=seen_ms)
        for id_, address, version, started_ms, seen_ms in rows
    ]
