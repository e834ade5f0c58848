"""A flood of refused peers fills neither the disk nor the log, and is counted; addresses are forgiven in time."""

import threading

import pytest

from strongroom.broker.address_limits import AddressBudget, AddressLimits, network
from strongroom.broker.denials import DenialGate
from strongroom.broker.gramine_client import BrokerRefused
from strongroom.broker.gramine_server import ServerLimits
from strongroom.broker.service import Case
from strongroom.errors import Refused


class Time:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def gate_of():
    """Make gates; the timers of all are stopped at the end."""
    gates = []

    def make(**options):
        floods, time = [], Time()
        gates.append(DenialGate(floods.append, monotonic=time, every_s=3600, **options))
        return gates[-1], floods, time

    yield make
    for gate in gates:
        gate.flush()


def test_sv_13_within_the_rate_each_denial_has_its_own_line(gate_of):
    gate, floods, time = gate_of(burst=3, per_second=1.0)
    assert all(gate.passes(str(number), "A", "10.0.0.1:5") for number in range(3))
    time.now += 1
    assert gate.passes("later", "A", "10.0.0.1:5")
    gate.flush()
    assert floods == []


def test_sv_13_beyond_the_rate_denials_are_counted_with_who_asked_most(gate_of):
    gate, floods, _ = gate_of(burst=1, per_second=0.001)
    assert gate.passes("first", "A", "10.0.0.1:5")
    for number, (code, peer) in enumerate([("A", "10.0.0.1:6"), ("B", "10.0.0.1:7"), ("A", "10.0.0.2:8")]):
        assert not gate.passes(f"n{number}", code, peer)
    gate.flush()
    [flood] = floods
    assert (flood.first, flood.last, dict(flood.codes)) == ("n0", "n2", {"A": 2, "B": 1})
    assert flood.busiest == ["10.0.0.1", "10.0.0.2"]
    gate.flush()
    assert len(floods) == 1


def test_sv_14_a_flood_from_everywhere_takes_bounded_memory(gate_of):
    gate, floods, _ = gate_of(burst=0, per_second=0.0)
    for number in range(5000):
        gate.passes(str(number), "A", f"10.0.{number // 256}.{number % 256}:1")
    gate.flush()
    assert len(floods[0].peers) == 1000
    assert floods[0].codes["A"] == 5000


def test_a_flood_that_ends_is_summed_up_without_another_denial():
    told = threading.Event()
    gate = DenialGate(lambda _: told.set(), burst=0, per_second=0.0, every_s=0.01)
    gate.passes("one", "A", "10.0.0.1:1")
    assert told.wait(30)


def test_sv_13_the_ledger_holds_every_denial_or_its_count(broker, monkeypatch):
    class Wrong(Refused):
        code = "SR-DECISION-FAILED"

    monkeypatch.setattr(broker.service._gate, "_left", 5.0)
    monkeypatch.setattr(broker.service._gate, "_burst", 5.0)
    monkeypatch.setattr(broker.service._gate, "_per_second", 0.0)
    for number in range(20):
        broker.service.refuse(Case(id=f"c{number}", peer="10.0.0.1:1", protocol="kbs"), Wrong("no"))
    broker.service.close()
    broker.store.write(lambda _: None)  # behind what was submitted before
    assert len(broker.decisions()) == 5
    [flood] = broker.entries("denials")
    assert (flood["count"], flood["first"], flood["last"]) == (15, "c5", "c19")
    assert flood["codes"] == {"SR-DECISION-FAILED": 15}


def limits_of(**changes):
    time = Time()
    budget = {"connections": 4, "connections_per_address": 2, "refusals": 3, "refusals_per_second": 1.0, **changes}
    return AddressLimits(AddressBudget(**budget), time), time


def test_sv_13_connections_count_by_address_and_all_together():
    limits, _ = limits_of()
    for address in ("10.0.0.1", "10.0.0.1"):
        assert limits.obstacle(address) is None
        limits.enter(address)
    assert limits.obstacle("10.0.0.1") == "too many connections of one address"
    assert limits.obstacle("10.0.0.2") is None
    limits.enter("10.0.0.2")
    limits.enter("10.0.0.3")
    assert limits.obstacle("10.0.0.4") == "too many connections"
    limits.leave("10.0.0.1")
    assert limits.obstacle("10.0.0.1") is None


def test_sv_13_an_address_that_keeps_being_refused_is_turned_away_until_it_is_forgiven():
    limits, time = limits_of()
    for _ in range(3):
        assert limits.obstacle("10.0.0.1") is None
        limits.refused("10.0.0.1")
    assert limits.obstacle("10.0.0.1") == "too many refusals of one address"
    assert limits.obstacle("10.0.0.2") is None
    time.now += 1
    assert limits.obstacle("10.0.0.1") is None


def test_sv_14_refusals_of_many_addresses_are_forgotten_least_first():
    limits, _ = limits_of()
    for _ in range(3):
        limits.refused("10.9.9.9")
    for number in range(20_000):
        limits.refused(f"host-{number}")
    assert len(limits._owed) <= 10_000
    assert limits.obstacle("10.9.9.9") == "too many refusals of one address"


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9%eth0", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_sv_13_a_host_does_not_get_a_budget_for_each_address_of_its_network(address, counted):
    assert network(address) == counted


def test_sv_13_a_refused_address_is_turned_away_before_its_handshake(broker_with, replica_as, replica, caplog):
    limits = ServerLimits(linger_s=0.1, refusals=3, refusals_per_second=0.0)
    with broker_with(limits=limits) as broker:
        for _ in range(5):
            with pytest.raises(BrokerRefused):
                broker.provision(replica_as(mr_enclave=b"\x0f" * 32))
        assert len(broker.decisions()) == 3  # the others were not judged any more
        assert "too many refusals of one address" in caplog.text
        with pytest.raises(BrokerRefused):
            broker.provision(replica)
