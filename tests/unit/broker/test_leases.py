"""Leases: granted up to a limit, renewed by the same holder alone, over in time, ended by what touches them."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.broker import leases
from strongroom.broker.leases import LeaseRequest
from strongroom.broker.store.opening import open_store

ASKED = LeaseRequest(
    tenant="default", secret="model/resnet50/1", rule="replica", holder="aa" * 32, protocol="kbs", peer="10.0.0.1:1",
    measurement="e1" * 32, platform="f0" * 12, tcb_status="UpToDate", broker="one",
    marks=(("measurement", "e1" * 32), ("fmspc", "F00000000001")),
)  # fmt: skip


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now

    def pass_by(self, seconds):
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    with closing(open_store(tmp_path / "broker.db", clock=clock)) as opened:
        yield opened


def grant(store, asked=ASKED, *, seconds=600, **options):
    return store.write(lambda tx: leases.grant(tx, asked, seconds=seconds, **options))


def renew(store, lease_id, asked=ASKED, *, seconds=600, **options):
    return store.write(lambda tx: leases.renew(tx, lease_id, asked, seconds=seconds, **options))


def test_kd_13_a_limit_counts_live_leases_and_no_others(store, clock):
    first, second = grant(store, limit=2), grant(store, limit=2, seconds=60)
    assert None not in (first, second)
    assert grant(store, limit=2) is None
    clock.pass_by(60)  # the second one's time is over at this very moment
    third = grant(store, limit=2)
    assert third is not None
    assert {each.id for each in store.read(leases.live)} == {first.id, third.id}


@pytest.mark.parametrize(
    "other", [{"rule": "another"}, {"secret": "model/resnet50/2"}, {"tenant": "b"}], ids=["rule", "secret", "tenant"]
)
def test_kd_13_each_rule_and_secret_of_each_tenant_has_its_own_limit(store, other):
    assert grant(store, limit=1) is not None
    assert grant(store, limit=1) is None
    assert grant(store, replace(ASKED, **other), limit=1) is not None


def test_a_lease_ends_with_the_rules_until_at_the_latest(store, clock):
    lease = grant(store, until_ms=int(clock.now.timestamp() * 1000) + 5000)
    assert lease.expires_ms - lease.granted_ms == 5000
    assert renew(store, lease.id, until_ms=lease.expires_ms).expires_ms == lease.expires_ms


def test_fb_15_a_renewal_extends_the_lease_of_the_same_holder_and_counts_nothing(store, clock):
    lease = grant(store, limit=1)
    clock.pass_by(500)
    renewed = renew(store, lease.id, replace(ASKED, holder="bb" * 32, peer="10.0.0.1:9"))
    assert (renewed.id, renewed.renewals, renewed.holder, renewed.peer) == (lease.id, 1, "bb" * 32, "10.0.0.1:9")
    assert renewed.expires_ms == lease.granted_ms + 1_100_000
    assert store.read(lambda tx: leases.count(tx, "default", "replica", ASKED.secret)) == 1


@pytest.mark.parametrize(
    "other",
    [{"tenant": "b"}, {"secret": "model/resnet50/2"}, {"rule": "another"}, {"measurement": "0f" * 32},
     {"platform": "00" * 12}, {"measurement": ""}],
)  # fmt: skip
def test_fb_15_nobody_else_renews_a_lease(store, other):
    lease = grant(store)
    assert renew(store, lease.id, replace(ASKED, **other)) is None


def test_fb_15_a_lease_that_is_over_is_not_renewed(store, clock):
    lease = grant(store)
    clock.pass_by(600)
    assert renew(store, lease.id) is None
    assert renew(store, "unknown") is None


def test_a_lease_that_names_no_measurement_is_never_renewed(store):
    unnamed = replace(ASKED, measurement="")
    assert renew(store, grant(store, unnamed).id, unnamed) is None


def test_an_ended_lease_is_over_at_once(store):
    lease = grant(store, limit=1)
    assert store.write(lambda tx: leases.end(tx, lease.id, tenant="b")) is None
    ended = store.write(lambda tx: leases.end(tx, lease.id, tenant="default"))
    assert ended.state == leases.ENDED
    assert store.write(lambda tx: leases.end(tx, lease.id)) is None
    assert store.read(leases.live) == ()
    assert grant(store, limit=1) is not None


@pytest.mark.parametrize(
    ("kind", "value", "touched"),
    [
        ("measurement", "e1" * 32, True),
        ("measurement", "0f" * 32, False),
        ("fmspc", "F00000000001", True),
        ("signer", "e1" * 32, False),  # of another kind
        ("fmspc", "F0000000000", False),  # part of a value is not the value
        ("secret", "model/resnet50/1", True),
        ("secret", "model/resnet50/10", False),
        ("model", "resnet50", True),
        ("model", "resnet5_", False),  # no wildcard
        ("model", "resnet", False),
    ],
)
def test_pl_05_a_revocation_ends_what_it_touches_and_nothing_else(store, kind, value, touched):
    lease = grant(store)
    ended = store.write(lambda tx: leases.end_touched(tx, None, kind, value))
    assert [each.id for each in ended] == [lease.id] * touched
    assert len(store.read(leases.live)) == (not touched)


def test_kd_17_a_tenants_revocation_ends_no_lease_of_another(store):
    grant(store)
    assert store.write(lambda tx: leases.end_touched(tx, "b", "model", "resnet50")) == ()
    assert len(store.write(lambda tx: leases.end_touched(tx, "default", "model", "resnet50"))) == 1


def test_leases_are_shown_by_tenant_and_counted_by_secret(store):
    for tenant, version in (("default", 1), ("default", 1), ("b", 2)):
        grant(store, replace(ASKED, tenant=tenant, secret=f"model/resnet50/{version}"))
    assert [each.tenant for each in store.read(lambda tx: leases.live(tx, "b"))] == ["b"]
    assert len(store.read(leases.live)) == 3
    assert store.read(leases.counts) == {("default", "model/resnet50/1"): 2, ("b", "model/resnet50/2"): 1}


def test_sv_14_leases_long_over_are_forgotten(store, clock):
    lease, kept = grant(store), grant(store, seconds=86400)
    clock.pass_by(leases.KEEP_MS / 1000 + 601)
    assert kept is not None
    store.write(leases.forget)
    assert store.read(lambda tx: leases.find(tx, lease.id)) is None
    assert store.read(lambda tx: leases.find(tx, kept.id)) is not None
