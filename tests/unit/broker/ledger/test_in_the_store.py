"""The ledger in a store: chained, timed, sealed, and one transaction with what it speaks of."""

import json
import threading
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker.ledger import chain, merkle
from strongroom.broker.ledger.faults import HeadChanged
from strongroom.broker.ledger.ledger import ROOT_EVERY_LINES, ROOT_EVERY_MS, Ledger
from strongroom.errors import BadInput


class Unwanted(BadInput):
    """An operation of a test that is refused before it changed anything."""


def kinds(book):
    return [entry["kind"] for entry in book.ledger.entries()]


def test_a_new_ledger_begins_with_its_salt_and_a_signed_root(book):
    genesis, root = book.ledger.entries()
    assert (genesis["seq"], genesis["kind"], genesis["version"], genesis["prev"]) == (0, "genesis", 2, "0" * 64)
    assert len(bytes.fromhex(genesis["salt"])) == 16
    assert (root["kind"], root["size"], root["prev"]) == ("root", 1, chain.digest(next(book.ledger.lines())[1]))
    assert book.ledger.last_root().is_signed_by(book.ledger.public_key)
    assert book.ledger.verify().roots == 1


def test_a_line_has_its_place_its_time_and_the_hash_of_the_line_before(book):
    assert book.write({"kind": "policy"}, {"kind": "decision", "id": "a"}) == [2, 3]
    *_, policy, decision = book.ledger.lines()
    entry = json.loads(decision[1])
    assert list(entry) == ["seq", "time", "prev", "kind", "id"]
    assert entry["time"] == "2026-03-04T05:06:07.000Z"
    assert entry["prev"] == chain.digest(policy[1])
    assert book.ledger.head().seq == 3


def test_it_goes_on_where_it_ended(book):
    book.decide(3)
    book.again()
    assert book.write({"kind": "decision"}) == [5]
    assert book.ledger.verify().size == 6


def test_pages_of_entries_follow_each_other(book):
    book.fill(1200)
    every = [seq for seq, _ in book.ledger.lines()]
    assert every == list(range(1202))
    assert [entry["seq"] for entry in book.ledger.entries(after=1198)] == [1199, 1200, 1201]
    assert [entry["seq"] for entry in book.ledger.entries(after=10, limit=2)] == [11, 12]


def test_sa_11_a_line_is_there_with_its_transaction_or_not_at_all(book):
    def refused(tx):
        raise Unwanted("before any change", fix="Nothing.")

    def broken(tx):
        book.ledger.append(tx, {"kind": "decision", "id": "gone"})
        raise RuntimeError("a defect after the line")

    with pytest.raises(Unwanted):
        book.store.write(refused)
    with pytest.raises(RuntimeError):
        book.store.write(broken)
    book.write({"kind": "decision", "id": "kept"})
    assert [entry.get("id") for entry in book.ledger.entries(after=1)] == ["kept"]
    book.ledger.verify()


def test_threads_share_one_chain(book):
    def some():
        for _ in range(25):
            book.write({"kind": "decision"})

    threads = [threading.Thread(target=some) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert book.ledger.verify().size == 202


def test_two_brokers_of_one_store_share_one_chain(book):
    other = Ledger(book.look(), book.signer)
    for number in range(5):
        book.write({"kind": "decision", "by": "one"})
        book.opened[-1].write(lambda tx, n=number: other.append(tx, {"kind": "decision", "by": "other", "n": n}))
    assert other.genesis == book.ledger.genesis
    assert book.ledger.verify() == other.verify()


def test_sa_15_times_in_the_ledger_never_go_back(book):
    book.write({"kind": "decision"})
    book.now -= timedelta(days=400)
    book.write({"kind": "decision"})
    book.now += timedelta(days=400, seconds=5)
    book.write({"kind": "decision"})
    times = [entry["time"] for entry in book.ledger.entries()]
    assert times == sorted(times)
    assert times[-1] == "2026-03-04T05:06:12.000Z"
    book.ledger.verify()


def test_sa_15_a_jump_of_the_clock_reaches_the_ledger_once_and_not_its_times(book):
    up = [0.0]
    guard = book.ledger.clock_guard(lambda: book.now, lambda: up[0])
    book.ledger.maintain()
    book.now += timedelta(days=365)
    for _ in range(3):
        book.ledger.maintain()
        up[0] += 10
        book.now += timedelta(seconds=10)
    told = [entry for entry in book.ledger.entries() if entry["kind"] == "clock"]
    assert [entry["state"] for entry in told] == ["untrusted"]
    assert "ahead of where it was" in told[0]["problem"]
    assert all(entry["time"].startswith("2026-03-04") for entry in book.ledger.entries())
    book.now -= timedelta(days=365)
    for _ in range(8):
        book.ledger.maintain()
        up[0] += 10
        book.now += timedelta(seconds=10)
    assert [entry["state"] for entry in book.ledger.entries() if entry["kind"] == "clock"] == ["untrusted", "trusted"]
    guard.check()


def test_sa_15_a_clock_set_back_while_the_broker_was_away_shows_at_the_start(book):
    book.now += timedelta(hours=1)
    book.write({"kind": "decision"})
    book.now -= timedelta(hours=1)
    book.again()
    assert "the ledger's last line" in book.ledger.clock_guard(lambda: book.now, lambda: 0.0).observe()


def test_pl_07_a_platform_has_one_name_in_a_ledger_and_another_in_the_next(book, book_in, tmp_path):
    (tmp_path / "other").mkdir()
    other = book_in(tmp_path / "other", signer=book.signer)
    name = book.ledger.hashed_platform(b"ppid" * 4)
    assert len(name) == 24
    assert book.again().hashed_platform(b"ppid" * 4) == name
    assert name not in {book.ledger.hashed_platform(b"another"), other.ledger.hashed_platform(b"ppid" * 4)}
    assert "salt" not in repr(book.ledger.genesis)


def test_no_secret_and_no_plaintext_gets_in(book):
    book.decide(20, platform=book.ledger.hashed_platform(b"CANARY-PPID-0001"))
    book.ledger.sign_root()
    raw = book.signer.private_bytes_raw()
    held = b"".join(line for _, line in book.ledger.lines()) + b"".join(
        file.read_bytes() for file in book.path.parent.iterdir()
    )
    for canary in (b"CANARY-PPID-0001", raw, raw.hex().encode()):
        assert canary not in held


def test_a_root_is_signed_after_so_many_lines(book):
    assert book.ledger.maintain() is None
    book.fill(ROOT_EVERY_LINES)
    signed = book.ledger.maintain()
    assert signed.checkpoint.size == ROOT_EVERY_LINES + 2
    assert book.ledger.maintain() is None
    assert kinds(book)[-1] == "root"


def test_a_root_is_signed_after_so_long_if_there_is_anything_new(book):
    book.pass_time(ROOT_EVERY_MS)
    assert book.ledger.maintain() is None
    book.decide()
    book.pass_time(ROOT_EVERY_MS // 1000)
    assert book.ledger.maintain().checkpoint.size == 3
    assert book.ledger.verify().roots == 2


def test_signing_with_nothing_new_gives_the_root_that_is_there(book):
    book.decide()
    first = book.ledger.sign_root()
    assert book.ledger.sign_root() == first
    assert kinds(book).count("root") == 2


def test_the_newest_root_is_remembered_beside_the_store(book):
    head = book.ledger.head_file
    first = head.read_text()
    book.decide()
    assert book.ledger.sign_root().to_text() == head.read_text() != first
    assert head.stat().st_mode & 0o777 == 0o600


def test_roots_and_proofs_are_those_of_the_tree_over_the_lines(book):
    book.decide(20)
    leaves = [merkle.leaf_hash(line) for _, line in book.ledger.lines()]
    root = book.ledger.root()
    assert (root.size, root.digest) == (22, merkle.root_of(leaves))
    for seq in range(22):
        proof = book.ledger.prove_inclusion(seq, 22)
        assert merkle.includes(leaves[seq], seq, size=22, root=root.digest, proof=proof)
    for old in range(1, 23):
        proof = book.ledger.prove_consistency(old, 22)
        assert book.ledger.root_at(old) == merkle.root_of(leaves[:old])
        assert merkle.extends(old, book.ledger.root_at(old), 22, root.digest, proof=proof)
    with pytest.raises(ValueError, match="no leaf"):
        book.ledger.prove_inclusion(22, 22)


def test_verify_reports_its_progress(book):
    book.fill(600)
    seen = []
    book.ledger.verify(lambda done, size: seen.append((done, size)))
    assert seen == [(0, 602), (256, 602), (512, 602)]


def test_another_key_is_not_this_ledgers(book):
    book.close()
    with pytest.raises(HeadChanged) as refusal:
        Ledger(book.look(), Ed25519PrivateKey.generate())
    assert refusal.value.code == "SR-LEDGER-HEAD"


def test_a_line_without_a_kind_or_too_long_is_a_bug_of_the_caller(book):
    with pytest.raises(ValueError, match="kind"):
        book.write({"id": "a"})
    with pytest.raises(ValueError, match="too long"):
        book.write({"kind": "decision", "x": "y" * chain.MAX_LINE_BYTES})
    book.decide()
    book.ledger.verify()
