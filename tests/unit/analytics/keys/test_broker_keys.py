"""Leases of primary keys, with a stand-in for the network that says when it was asked."""

import threading
from dataclasses import dataclass, field

import pytest

from strongroom.analytics.keys.broker import BrokerKeys
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.broker import BrokerRefused
from strongroom.broker.kbs_dialogue import Obtained
from strongroom.datasets.key_ring import BadKeyRing, KeyRing
from strongroom.datasets.names import KeyId
from strongroom.secret import Secret

LEASE_S = 0.3  # the shortest that renewals make sense for
PATIENCE_S = 60


@dataclass
class Network:
    """Answers what `ring` is at the moment, or raises `problem`; `wait` returns when that many questions were asked."""

    ring: KeyRing
    problem: Exception | None = None
    leased: bool = True
    asked: list = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, name, *, lease_id, timeout_s):
        with self.changed:
            self.asked.append((str(name), lease_id))
            self.changed.notify_all()
            if self.problem is not None:
                raise self.problem
            secret = Secret(self.ring.to_bytes())
        return Obtained(secret, "lease" if self.leased else None, 600 if self.leased else None)

    def wait_until(self, condition):
        """Return when a condition holds, which is looked at after every question."""
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE_S)

    def becomes(self, **fields):
        """Change what is answered from now on, and return when it was asked twice more: the first answer counts."""
        with self.changed:
            for name, value in fields.items():
                setattr(self, name, value)
            count = len(self.asked)
        self.wait_until(lambda: len(self.asked) >= count + 2)


@pytest.fixture
def network():
    return Network(KeyRing.fresh("people"))


@pytest.fixture
def keys(network):
    with BrokerKeys(network, ["people"], lease_s=LEASE_S) as found:
        yield found


def test_a_key_is_asked_for_by_its_secrets_name(network, keys):
    assert network.asked[0] == ("secret/data-people", None)
    assert keys.names() == ("people",)
    assert keys.lease_s == LEASE_S


def test_a_lease_is_renewed_before_its_end(network, keys):
    network.wait_until(lambda: len(network.asked) > 2)
    assert network.asked[1] == ("secret/data-people", "lease")
    assert keys.names() == ("people",)


def test_a10_a_rotation_arrives_with_a_renewal(network, keys):
    made = keys.new_data_key("people")
    network.becomes(ring=network.ring.rotated())
    assert keys.current("people") == KeyId("people", 2)
    assert keys.unwrap(made.key_id, made.wrapped) == made.plain


def test_a_refused_renewal_takes_the_key_away_and_a_later_one_brings_it_back(network, keys):
    network.becomes(problem=BrokerRefused("no"))
    with pytest.raises(KeyNotGranted, match="lease of primary key people was lost"):
        keys.new_data_key("people")
    assert keys.names() == ()
    network.becomes(problem=None)
    assert keys.names() == ("people",)


def test_a_key_without_a_lease_is_kept(network):
    network.leased = False
    with BrokerKeys(network, ["people"]) as keys:
        assert keys.names() == ("people",)
    assert len(network.asked) == 1


def test_what_is_closed_has_no_keys(network):
    keys = BrokerKeys(network, ["people"], lease_s=LEASE_S)
    keys.close()
    keys.close()
    asked = len(network.asked)
    with pytest.raises(KeyNotGranted):
        keys.current("people")
    assert len(network.asked) == asked


def test_a_refusal_at_first_is_no_key(network):
    network.problem = BrokerRefused("403")
    with pytest.raises(KeyNotGranted, match="people: 403"):
        BrokerKeys(network, ["people"])


def test_a_secret_that_is_no_ring_is_said(network):
    network.ring = type("Other", (), {"to_bytes": lambda self: b"16 bytes of key."})()
    with pytest.raises(BadKeyRing):
        BrokerKeys(network, ["people"])
