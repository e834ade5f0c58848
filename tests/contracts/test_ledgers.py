"""One suite for the ledger on both stores: brokers that share it share one chain, and times are the store's."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker.ledger import merkle
from strongroom.broker.ledger.faults import LedgerBroken
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.ledger.rollback import check_not_rolled_back
from strongroom.broker.store.opening import open_store

SIGNER = Ed25519PrivateKey.from_private_bytes(b"\x03" * 32)


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request, tmp_path):
    if request.param == "sqlite":
        return tmp_path / "broker.db"
    return request.getfixturevalue("postgres").url


@pytest.fixture
def broker(location):
    """Start one more broker on the same store."""
    stores = []

    def another():
        stores.append(open_store(location))
        return stores[-1], Ledger(stores[-1], SIGNER)

    yield another
    for each in stores:
        each.close()


def test_brokers_share_one_chain_and_one_tree(broker):
    brokers = [broker() for _ in range(3)]

    def write(number):
        store, ledger = brokers[number % 3]
        return store.write(lambda tx: ledger.append(tx, {"kind": "decision", "number": number}))

    with ThreadPoolExecutor(6) as threads:
        numbers = sorted(threads.map(write, range(60)))
    assert numbers == list(range(2, 62))
    signed = brokers[0][1].sign_root()
    assert brokers[1][1].sign_root() == signed  # nothing new since
    assert {ledger.verify() for _, ledger in brokers} == {brokers[2][1].verify()}
    proof = brokers[1][1].prove_inclusion(30, 62)
    (_, line), *_ = brokers[2][1].lines(29, 1)
    assert merkle.includes(merkle.leaf_hash(line), 30, size=62, root=signed.checkpoint.root, proof=proof)
    check_not_rolled_back(brokers[2][1], brokers[2][0])


def test_times_are_the_stores_and_the_guard_compares_with_them(broker):
    store, ledger = broker()
    guard = ledger.clock_guard()
    assert ledger.maintain() is None
    assert guard.check(store.read(lambda tx: tx.now_ms))
    assert [entry["kind"] for entry in ledger.entries()] == ["genesis", "root"]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("DELETE FROM ledger_lines WHERE seq = 5", "SR-LEDGER-REMOVED"),
        ("DELETE FROM ledger_lines WHERE seq > 5", "SR-LEDGER-TRUNCATED"),
        ("UPDATE ledger_lines SET seq = CASE seq WHEN 3 THEN 99 ELSE seq END", "SR-LEDGER-HEAD"),
        ("UPDATE ledger_head SET time_ms = time_ms + 1", "SR-LEDGER-HEAD"),
        ("UPDATE ledger_roots SET time_ms = time_ms + 1", "SR-LEDGER-ROOT"),
    ],
)  # fmt: skip
def test_sa_10_tampering_is_named_on_every_store(broker, sql, code):
    store, ledger = broker()
    store.write(lambda tx: [ledger.append(tx, {"kind": "decision"}) for _ in range(8)])
    store.write(lambda tx: tx.execute(sql))
    with pytest.raises(LedgerBroken) as found:
        ledger.verify()
    assert found.value.code == code
