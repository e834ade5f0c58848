"""One suite for the keyring on both stores: brokers that share one agree, and nothing that was kept is lost."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.broker.keyring import rows
from strongroom.broker.keyring.envelope import EnvelopeTampered
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.root_key import LocalRoot, RootMissing, new_root_key
from strongroom.broker.store.opening import open_store
from strongroom.pki.disk import AlreadyThere
from strongroom.secret import Secret
from strongroom.workspace import UnknownSecret

KEY = Secret(bytes(range(16)))


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request, tmp_path):
    if request.param == "sqlite":
        (tmp_path / "store").mkdir(mode=0o700)
        return tmp_path / "store" / "broker.db"
    return request.getfixturevalue("postgres").url


@pytest.fixture
def broker(location):
    """Makes the keyrings of further brokers, each with a store of its own on the same database."""
    stores, first = [], new_root_key()

    def another(root=None):
        stores.append(open_store(location))
        return Keyring(stores[-1], LocalRoot(root or first, "a test"))

    yield another
    for store in stores:
        store.close()


def test_a_secret_goes_through_all_its_states(broker):
    keyring = broker()
    keyring.put("default", "secret/s", KEY, "owner")
    keyring.rotate("default", "secret/s", "owner", carry_s=3600)
    assert keyring.get("default", "secret/s", 1) == KEY
    assert keyring.get("default", "secret/s") != KEY
    keyring.rotate("default", "secret/s", "owner", carry_s=0)
    for version in (1, 2):
        with pytest.raises(UnknownSecret):
            keyring.get("default", "secret/s", version)
    keyring.retire("default", "secret/s")
    keyring.destroy("default", "secret/s")
    assert [info.state for info in keyring.infos("default")] == ["destroyed"] * 3
    with pytest.raises(UnknownSecret):
        broker().get("default", "secret/s")


def test_brokers_see_each_others_rotations(broker):
    one, two = broker(), broker()
    one.put("default", "model/m/1", KEY, "owner")
    assert two.get("default", "model/m/1") == KEY
    one.rotate_tenant("default")
    assert two.get("default", "model/m/1") == KEY
    two.put("default", "model/m/2", KEY, "owner")
    assert two.rotate_tenant("default") == 3
    assert one.get("default", "model/m/2") == KEY


def test_kd_12_of_several_that_put_a_model_key_one_wins(broker):
    keyrings = [broker() for _ in range(4)]

    def put(number):
        key = Secret(bytes([number]) + bytes(range(15)))
        try:
            keyrings[number].put("default", "model/m/1", key, "owner")
        except AlreadyThere:
            return None
        return key

    with ThreadPoolExecutor(4) as pool:
        won = [key for key in pool.map(put, range(4)) if key is not None]
    assert len(won) == 1
    assert all(each.get("default", "model/m/1") == won[0] for each in keyrings)


def test_kd_14_puts_rotations_and_rewraps_at_once_lose_nothing(broker):
    keyrings, second = [broker() for _ in range(4)], new_root_key()
    keyrings[0].begin()

    def put(number):
        name = f"secret/s{number % 5}"
        return (
            name,
            keyrings[number % 4].put("default", name, Secret(bytes([number] * 31 + [99])), "owner").version,
            number,
        )

    with ThreadPoolExecutor(6) as pool:
        puts = [pool.submit(put, number) for number in range(40)]
        rotations = [pool.submit(keyrings[number].rotate_tenant, "default") for number in (1, 2)]
        kept = [each.result() for each in puts]
        for rotation in rotations:
            if not isinstance(rotation.exception(), UnknownSecret):  # it came before the first secret
                rotation.result()
    keyrings[0].rewrap(LocalRoot(second, "another"))
    fresh = broker(second)
    assert sorted((name, version) for name, version, _ in kept) == [
        (f"secret/s{each}", version) for each in range(5) for version in range(1, 9)
    ]
    for name, version, number in kept:
        assert fresh.get("default", name, version) == Secret(bytes([number] * 31 + [99]))
    with pytest.raises(RootMissing):
        broker().get("default", "secret/s0")


def test_two_brokers_with_different_root_keys_cannot_begin_one_store(broker):
    keyrings = [broker(), broker(new_root_key())]

    def begin(keyring):
        try:
            keyring.begin()
        except RootMissing:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(begin, keyrings)) == [False, True]
    assert len(keyrings[0].store.read(rows.root_ids)) == 1


def test_kd_06_a_changed_row_is_refused_on_either_store(broker):
    keyring = broker()
    keyring.put("default", "secret/s", KEY, "owner")
    wrapped = keyring.store.read(lambda tx: rows.of_tenant(tx, "default"))[0].wrapped
    changed = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    keyring.store.write(lambda tx: tx.execute("UPDATE secrets SET wrapped = ?", (changed,)))
    with pytest.raises(EnvelopeTampered):
        keyring.get("default", "secret/s")


def test_an_objection_undoes_a_put_and_not_its_neighbours(broker):
    keyring = broker()
    keyring.begin()

    def object_(_tx, info):
        raise AlreadyThere(f"no {info.name}")

    def put(number):
        also = object_ if number % 3 == 0 else None
        try:
            keyring.put("default", f"secret/s{number}", KEY, "owner", also=also)
        except AlreadyThere:
            return 0
        return 1

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(put, range(30))) == 20
    assert len(keyring.infos("default")) == 20
