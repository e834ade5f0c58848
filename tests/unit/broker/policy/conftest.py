"""A store on disk, two owners with their keys, and the texts of policies that admit more and less."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker import tenants
from strongroom.broker.policy import history
from strongroom.broker.policy.approvals import Approvals, approve, ballot_of
from strongroom.broker.policy.votes import key_id, sign
from strongroom.broker.store.opening import open_store

HEX = "ab" * 32
PLATFORM = "5a" * 16


def rule(extra="", *, name="one", release='"model/m/1"', identity=f'mrenclave = "{HEX}"'):
    return f'[[rule]]\nname = "{name}"\nrelease = {release}\n{identity}\n{extra}\n'


def policy(*rules, top=""):
    return ("version = 1\n" + top + "".join(rules)).encode()


@pytest.fixture
def write():
    """The builders of policy texts: of one rule, and of a file."""
    return rule, policy


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "broker.db")
    opened.write(tenants.ensure_default)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def keys():
    """Three people with a key each; the first two own the workspace."""
    return [Ed25519PrivateKey.generate() for _ in range(3)]


@pytest.fixture
def two_of_two(keys):
    return Approvals({key_id(each.public_key()): each.public_key() for each in keys[:2]}, 2)


@pytest.fixture
def agree(store, keys, two_of_two):
    """Let one of the owners sign a proposed version as it stands; return what that led to."""

    def run(number, who, tenant="default"):
        def vote(tx):
            ballot = ballot_of(history.version(tx, tenant, number), history.in_force(tx, tenant))
            return approve(tx, tenant, number, sign(ballot, keys[who], at=history.time_of(tx)), two_of_two)

        return store.write(vote)

    return run


@pytest.fixture
def clock():
    """Seconds that pass only when a test says so."""

    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

        def pass_a_second(self):
            self.now += 1.0

    return Clock()
