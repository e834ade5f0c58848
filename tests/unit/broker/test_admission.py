"""Through a listening broker: limits, floors, revocations, tenants and renewals, each with its reason for the owner."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.attestation import claims_of
from strongroom.broker import floors, leases, revocations, tenants
from strongroom.broker.clock import ClockUntrusted
from strongroom.broker.gramine_client import BrokerRefused
from strongroom.broker.names import SecretName
from strongroom.broker.operations.metrics import Metrics
from strongroom.broker.policy import history
from strongroom.broker.release import NO_TENANT, Denial
from strongroom.broker.service import Case
from strongroom.cli.explain import explained
from strongroom.secret import Secret

MODEL = "model/efficientnet-lite0/1"
DAY = timedelta(days=1)


def live(broker):
    return broker.store.read(leases.live)


def test_a_release_leaves_a_lease_that_the_ledger_names(broker, replica):
    broker.provision(replica)
    [lease] = live(broker)
    [decision] = broker.decisions()
    assert decision["lease"] == {"id": lease.id, "expires_ms": lease.expires_ms, "renewals": 0}
    assert (lease.secret, lease.rule, lease.holder) == (MODEL, "replica", decision["holder"])
    assert (lease.measurement, lease.platform) == ("e1" * 32, decision["evidence"]["platform"])
    assert lease.expires_ms - lease.granted_ms == 600_000
    assert len(bytes.fromhex(lease.holder)) == 32


def test_every_decision_is_counted_once_with_what_it_took(broker_with, replica, replica_as):
    metrics = Metrics()
    with broker_with(observer=metrics) as broker:
        broker.provision(replica)
        with pytest.raises(BrokerRefused):
            broker.provision(replica_as(mr_enclave=b"\xbb" * 32))
    values = metrics.values()
    assert values["strongroom_broker_admissions_total{outcome=granted,protocol=gramine-v1}"] == 1
    assert values["strongroom_broker_admissions_total{outcome=denied,protocol=gramine-v1}"] == 1
    assert values["strongroom_broker_denials_total{code=POLICY_MRENCLAVE}"] == 1
    assert values["strongroom_broker_admission_seconds_count{protocol=gramine-v1}"] == 2


def test_kd_13_the_limit_of_leases_holds_and_says_so(broker_with, texts, replica, refusal, credentials_for):
    rule, policy = texts
    with broker_with(policy(rule(extra="max_leases = 2"))) as broker:
        for _ in range(2):
            broker.provision(replica)
        assert refusal(broker, credentials_for()) == ["LEASE_LIMIT"]
        [reason] = broker.decisions()[-1]["reasons"]
        assert (reason["rule"], reason["word"]) == ("replica", "max_leases")
        assert (reason["observed"], reason["expected"]) == (f"2 live leases of {MODEL}", "fewer than 2")
        broker.store.write(lambda tx: leases.end(tx, live(broker)[0].id))
        assert len(broker.provision(replica)) == 16


def test_a_replica_that_asks_again_with_its_key_is_not_counted_twice(broker_with, texts, credentials_for):
    rule, policy = texts
    with broker_with(policy(rule(extra="max_leases = 1"))) as broker:
        mine = credentials_for()
        for _ in range(3):
            assert broker.service.release(considered(broker, lambda: mine)) is not None
        [lease] = live(broker)
        assert lease.renewals == 2
        assert broker.service.release(considered(broker, credentials_for)) is None
        assert broker.codes() == ["LEASE_LIMIT"]
        assert broker.decisions()[-1]["wanted"] == MODEL


def test_a_denial_names_the_secret_that_was_asked_for(broker, credentials_for):
    wanted = SecretName.parse("secret/other")
    case = replace(considered(broker, credentials_for), outcome=None)
    broker.service.refuse(broker.service.decide(case, wanted))
    assert broker.codes() == ["SECRET_NOT_NAMED"]
    assert broker.decisions()[-1]["wanted"] == "secret/other"


def test_kd_13_after_its_until_a_rule_gives_nothing(broker_with, texts, refusal, credentials_for):
    rule, policy = texts
    with broker_with(policy(rule(extra="until = 2020-01-01"))) as broker:
        assert refusal(broker, credentials_for()) == ["RULE_EXPIRED"]


def test_kd_13_the_stores_time_ends_a_rule_whatever_this_machine_says(broker_with, texts, refusal, credentials_for):
    rule, policy = texts
    until = datetime.now(UTC) - timedelta(hours=1)
    slow = {"clock": lambda: datetime.now(UTC) - timedelta(hours=2)}
    with broker_with(policy(rule(extra=f"until = {until:%Y-%m-%dT%H:%M:%SZ}")), **slow) as broker:
        codes = refusal(broker, credentials_for(days=(-2, 2)))
        assert codes == ["RULE_EXPIRED"]
        assert broker.decisions()[-1]["reasons"][0]["word"] == "until"


@pytest.mark.parametrize("kind", ["measurement", "signer", "platform", "fmspc", "pck", "secret", "model"])
def test_pl_05_what_is_revoked_gets_nothing_from_then_on(  # noqa: PLR0917  # fixtures
    broker, kind, verdict_of, replica, refusal, credentials_for
):
    """The drill: one release, the revocation, and no release after it; its leases are over at once (FB-15)."""
    broker.provision(replica)
    platform = broker.ledger.hashed_platform(verdict_of().pck.ppid)
    marks = dict(revocations.marks_of(claims_of(verdict_of()), platform=platform))
    value = {**marks, "secret": MODEL, "model": "efficientnet-lite0"}[kind]
    done = broker.store.write(
        lambda tx: revocations.revoke(tx, kind=kind, value=value, author="alice", reason="a drill")
    )
    assert [each.secret for each in done.ended] == [MODEL]
    assert live(broker) == ()
    assert refusal(broker, credentials_for()) == ["REVOKED"]
    reason = broker.decisions()[-1]["reasons"][0]
    assert "a drill" in reason["observed"]
    assert done.revocation.id in reason["observed"]
    decisions = [entry["decision"] for entry in broker.decisions()]
    assert decisions == ["granted", "denied"]
    broker.store.write(lambda tx: revocations.lift(tx, done.revocation.id))
    assert len(broker.provision(replica)) == 16


def test_pl_07_no_reason_names_a_platform_in_plain(broker, verdict_of, refusal, credentials_for, caplog):
    serial = f"{verdict_of().pck_serial:X}"
    broker.store.write(lambda tx: revocations.revoke(tx, kind="pck", value=serial, author="alice"))
    assert refusal(broker, credentials_for()) == ["REVOKED"]
    written = str(list(broker.ledger.entries())) + caplog.text
    assert serial not in written
    assert verdict_of().pck.ppid.hex() not in written.lower()


def test_kd_09_an_old_model_does_not_come_back(broker, replica, refusal, credentials_for):
    broker.provision(replica)
    broker.store.write(lambda tx: floors.raise_floor(tx, "default", "efficientnet-lite0", 2, "alice"))
    assert refusal(broker, credentials_for()) == ["MODEL_TOO_OLD"]
    assert broker.decisions()[-1]["reasons"][0]["word"] == "floor"


def test_sa_15_while_the_clock_is_not_believed_nothing_is_released(broker_with, replica, refusal, credentials_for):
    class Guard:
        trouble = "the clock jumped"

        def check(self, store_ms=None):
            assert store_ms
            if self.trouble:
                raise ClockUntrusted(self.trouble)

    guard = Guard()
    with broker_with(guard=guard) as broker:
        assert refusal(broker, credentials_for()) == ["SR-CLOCK-UNTRUSTED"]
        guard.trouble = ""
        assert len(broker.provision(replica)) == 16


def test_kd_17_the_server_name_says_whose_rules_count(broker, connect, credentials_for, texts, replica):
    other = "model/other/1"
    rule, policy = texts

    def begin(tx):
        tenants.create(tx, "acme")
        history.put(tx, "acme", policy(rule(name="theirs", release=other)).encode(), "bob")

    broker.store.write(begin)
    broker.policies.look_again()
    broker.keyring.put("acme", other, Secret(b"another-16-bytes"), "bob")
    for name, tenant, secret in [("acme.broker.example", "acme", other), ("elsewhere.example", "default", MODEL)]:
        case = Case(id="x", peer="p", protocol="gramine-v1", tenant=broker.service.tenant_of(name))
        case = broker.service.consider(case, credentials_for().certificates[0], tls="TLSv1.2")
        released = broker.service.release(case)
        assert (released.lease.tenant, released.lease.secret) == (tenant, secret)
        assert broker.decisions()[-1]["tenant"] == tenant
        released.secret.wipe()


def test_kd_17_a_tenant_that_was_suspended_meanwhile_gets_nothing(broker, credentials_for):
    case = considered(broker, credentials_for)
    broker.store.write(lambda tx: tenants.suspend(tx, "default"))
    assert broker.service.release(case) is None
    assert broker.codes() == [NO_TENANT]


def considered(broker, credentials_for, **fields):
    case = Case(id="c0ffee", peer="10.0.0.1:1", protocol="kbs", **fields)
    return broker.service.consider(case, credentials_for().certificates[0], tls="TLSv1.3")


def test_fb_15_a_lease_is_renewed_by_fresh_evidence_and_counts_once(broker_with, texts, credentials_for):
    rule, policy = texts
    with broker_with(policy(rule(extra="max_leases = 1"))) as broker:
        first = broker.service.release(considered(broker, credentials_for)).lease
        again = broker.service.release(considered(broker, credentials_for, lease_id=first.id)).lease
        assert (again.id, again.renewals) == (first.id, 1)
        assert broker.service.release(considered(broker, credentials_for, lease_id="f" * 32)) is None
        assert broker.codes() == ["LEASE_LIMIT"]


def test_fb_15_after_a_revocation_no_lease_is_renewed(broker, credentials_for):
    lease = broker.service.release(considered(broker, credentials_for)).lease
    broker.store.write(lambda tx: revocations.revoke(tx, kind="measurement", value="e1" * 32, author="alice"))
    assert broker.service.release(considered(broker, credentials_for, lease_id=lease.id)) is None
    assert broker.codes() == ["REVOKED"]


class Aged:
    """Collateral that a test may let expire."""

    def __init__(self, collateral):
        self.collateral = collateral

    def collateral_for(self, _quote):
        return self.collateral


@pytest.mark.parametrize("authorised", [True, False], ids=["authorised", "for another secret"])
@pytest.mark.parametrize("within", [True, False], ids=["within limits", "beyond limits"])
def test_kd_11_a_secret_needs_every_term(*, broker_with, texts, replica, credentials_for, authorised, within):
    """The truth table: authorised, evidence, policy, freshness, not revoked, within limits."""
    rule, policy = texts
    text = rule(release=MODEL if authorised else "model/another/1", extra="require_fresh = true\nmax_leases = 1")
    good, bad = replica.world.collateral(datetime.now(UTC)), replica.world.collateral(datetime.now(UTC) - 99 * DAY)
    peers = {
        fits: credentials_for(replica.identity if fits else replace(replica.identity, mr_enclave=b"\x0f" * 32))
        for fits in (True, False)
    }
    source = Aged(good)
    with broker_with(policy(text), source=source) as broker:
        for evidence, fits, fresh, not_revoked in itertools.product([True, False], repeat=4):
            source.collateral = good if evidence else bad
            held = None if within else broker.store.write(lambda tx: leases.grant(tx, asked(), seconds=600))
            revoked = None if not_revoked else broker.store.write(revoke_signer).revocation
            case = Case(id="c", peer="p:1", protocol="kbs", fresh=fresh)
            case = broker.service.consider(case, peers[fits].certificates[0], tls="TLSv1.3")
            released = None if isinstance(case.outcome, Denial) else broker.service.release(case)
            assert (released is not None) == all((authorised, evidence, fits, fresh, not_revoked, within))
            for lease_id in [each.lease.id for each in [released] if each] + [each.id for each in [held] if each]:
                broker.store.write(lambda tx, lease_id=lease_id: leases.end(tx, lease_id))
            if revoked:
                broker.store.write(lambda tx, revoked=revoked: revocations.lift(tx, revoked.id))


def revoke_signer(tx):
    return revocations.revoke(tx, kind="signer", value="51" * 32, author="alice")


def asked():
    return leases.LeaseRequest(
        tenant="default", secret=MODEL, rule="replica", holder="", protocol="", peer="", measurement="", platform="",
        tcb_status="",
    )  # fmt: skip


def test_every_reason_of_an_admission_is_explained():
    assert {"LEASE_LIMIT", "REVOKED"} <= {entry.code for entry in explained()}


def test_a_refused_peer_cannot_tell_a_limit_from_a_revocation(broker_with, texts, replica):
    rule, policy = texts
    with broker_with(policy(rule(extra="max_leases = 1"))) as broker:
        broker.provision(replica)
        with pytest.raises(BrokerRefused) as limited:
            broker.provision(replica)
        broker.store.write(lambda tx: revocations.revoke(tx, kind="model", value="efficientnet-lite0", author="a"))
        with pytest.raises(BrokerRefused) as revoked:
            broker.provision(replica)
        assert str(limited.value) == str(revoked.value)


def test_what_is_only_considered_leaves_nothing_behind(broker, credentials_for):
    before = broker.ledger.head().seq
    case = considered(broker, credentials_for)
    assert case.granted
    assert broker.service.decide(replace(case, outcome=None), None).outcome == case.outcome
    assert (broker.ledger.head().seq, live(broker)) == (before, ())
