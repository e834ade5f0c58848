"""Policies in both stores: brokers that share one agree on what is in force, whoever changes it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker import tenants
from strongroom.broker.policy import history
from strongroom.broker.policy.approvals import Approvals, approve, ballot_of, submit
from strongroom.broker.policy.policies import Policies
from strongroom.broker.policy.votes import VoteRefused, key_id, sign
from strongroom.broker.policy.watched import WatchedPolicy
from strongroom.broker.store.opening import open_store

STRICT = b'version = 1\n[[rule]]\nname = "one"\nrelease = "model/m/1"\nmrenclave = "' + b"ab" * 32 + b'"\n'
LOOSE = STRICT + b"allow_debug = true\n"


class Seconds:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture(params=["sqlite", "postgresql"])
def stores(request, tmp_path):
    """Two brokers' ways to one store."""
    location = tmp_path / "broker.db" if request.param == "sqlite" else request.getfixturevalue("postgres").url
    found = [open_store(location) for _ in range(2)]
    yield found
    for each in found:
        each.close()


@pytest.fixture
def path(tmp_path):
    place = tmp_path / "policy.toml"
    place.write_bytes(STRICT)
    return place


@pytest.fixture
def keys():
    return [Ed25519PrivateKey.generate() for _ in range(2)]


@pytest.fixture
def two_of_two(keys):
    return Approvals({key_id(each.public_key()): each.public_key() for each in keys}, 2)


def states(store):
    return [(each.version, each.state.value) for each in store.read(lambda tx: history.versions(tx, "default"))]


def test_brokers_that_start_at_once_put_one_first_version_in(stores, path):
    with ThreadPoolExecutor(2) as pool:
        books = list(pool.map(lambda store: Policies(store, WatchedPolicy(path)), stores))
    assert states(stores[0]) == [(1, "in force")]
    assert [len(book.current()[0].rules) for book in books] == [1, 1]


def test_what_one_broker_takes_the_other_takes_within_a_second(stores, path):
    clock = Seconds()
    first, second = (Policies(store, WatchedPolicy(path) if number == 0 else None, clock=clock)
                     for number, store in enumerate(stores))  # fmt: skip
    stores[0].write(lambda tx: submit(tx, "default", LOOSE, "ann"))
    clock.now += 1
    for book in (first, second):
        found, change = book.current()
        assert found.rules[0].policy.allow_debug
        assert change.version == 2


def test_sa_08_owners_vote_at_different_brokers(stores, path, keys, two_of_two):
    submit_loose = stores[0].write(lambda tx: (tenants.ensure_default(tx), submit(tx, "default", STRICT, "ann")))
    assert submit_loose[1].version == 1
    assert stores[0].write(lambda tx: submit(tx, "default", LOOSE, "ann", two_of_two)).proposed == 2

    def vote(number):
        def cast(tx):
            ballot = ballot_of(history.version(tx, "default", 2), history.in_force(tx, "default"))
            return approve(tx, "default", 2, sign(ballot, keys[number], at=history.time_of(tx)), two_of_two)

        return stores[number].write(cast)

    with ThreadPoolExecutor(2) as pool:
        changes = list(pool.map(vote, range(2)))
    assert sorted(each.version for each in changes) == [1, 2]
    assert states(stores[1]) == [(2, "in force"), (1, "replaced")]
    with pytest.raises(VoteRefused, match="it is in force"):
        vote(0)


def test_many_changes_at_once_leave_one_version_in_force(stores):
    stores[0].write(tenants.ensure_default)
    texts = [STRICT.replace(b"model/m/1", f"model/m/{number}".encode()) for number in range(1, 9)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(stores[number % 2].write, lambda tx, text=text: submit(tx, "default", text, "ann"))
                for number, text in enumerate(texts)]  # fmt: skip
        versions = sorted(job.result().version for job in jobs)
    assert versions == list(range(1, 9))
    assert [state for _, state in states(stores[1])] == ["in force"] + ["replaced"] * 7
