"""Whoever can write to the database tampers with the ledger; each way is found and called by its name."""

import json
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker.ledger import chain, merkle
from strongroom.broker.ledger.audit import audit, check_same
from strongroom.broker.ledger.chain import Head
from strongroom.broker.ledger.checkpoint import Checkpoint, origin_of, sign
from strongroom.broker.ledger.faults import (
    LedgerBroken,
    LedgerForked,
    LedgerRewritten,
    LedgerRolledBack,
    LedgerTruncated,
)
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.ledger.reading import verify_store
from strongroom.broker.ledger.rollback import check_not_rolled_back

DELETE = "DELETE FROM ledger_lines WHERE seq = ?"


@pytest.fixture
def full(book):
    """Lines 0 to 12: genesis, root, five decisions (2-6), root (7), five decisions (8-12)."""
    book.decide(5)
    book.ledger.sign_root()
    book.decide(5)
    book.ledger.verify()
    return book


def fault(book, code, **options):
    """Return the sentence of the fault that a whole verification finds, which has this code."""
    with pytest.raises(LedgerBroken) as found:
        verify_store(book.look(), signer=book.signer, **options)
    assert found.value.code == code, found.value.sentence
    return found.value.sentence


def refused_at_start(book, code):
    with pytest.raises(LedgerBroken) as found:
        Ledger(book.look(), book.signer)
    assert found.value.code == code, found.value.sentence


def rebuilt(book, *, edit):
    """Return all lines again, each chained behind the one before, with `edit` applied to the entries."""
    head, lines = chain.EMPTY, []
    for (text,) in book.rows("SELECT line FROM ledger_lines ORDER BY seq"):
        entry = json.loads(text)
        record = {name: value for name, value in entry.items() if name not in {"seq", "time", "prev"}}
        changed = edit(entry["seq"], record)
        if changed is not None:
            line, head = chain.write_line(head, changed, time=entry["time"])
            lines.append(line[:-1])
    return lines, head


def replace_all(lines, head):
    """Return the statements that put other lines in the place of all, with the end that belongs to them."""
    tree = merkle.Frontier()
    for line in lines:
        tree = tree.grown(merkle.leaf_hash(line))
    return (
        ("DELETE FROM ledger_lines",),
        *(("INSERT INTO ledger_lines VALUES (?, ?)", seq, line) for seq, line in enumerate(lines)),
        ("UPDATE ledger_head SET seq = ?, digest = ?, frontier = ?", head.seq, head.digest, tree.to_bytes()),
    )


def exonerate(seq, record):
    return {**record, "decision": "denied"} if seq == 4 else record


@pytest.mark.parametrize("victim", range(1, 12))
def test_sa_10_a_deleted_line_is_a_removed_line(full, victim):
    full.tamper((DELETE, victim))
    assert f"line {victim} should stand" in fault(full, "SR-LEDGER-REMOVED")


def test_sa_10_a_deleted_line_is_missed_even_if_the_others_are_renumbered(full):
    full.tamper((DELETE, 5), *(("UPDATE ledger_lines SET seq = ? WHERE seq = ?", n - 1, n) for n in range(6, 13)))
    assert "line 6 stands where line 5 should stand" in fault(full, "SR-LEDGER-REMOVED")
    refused_at_start(full, "SR-LEDGER-TRUNCATED")


def test_sa_10_swapped_lines_are_moved_lines(full):
    swap = [("UPDATE ledger_lines SET seq = ? WHERE seq = ?", *pair) for pair in ((99, 4), (4, 9), (9, 99))]
    full.tamper(*swap)
    assert "line 9 stands before line 4" in fault(full, "SR-LEDGER-REORDERED")


def test_sa_10_a_repeated_line_is_a_moved_line(full):
    full.tamper(("UPDATE ledger_lines SET line = (SELECT line FROM ledger_lines WHERE seq = 3) WHERE seq = 9",))
    assert "line 3 stands again where line 9 should" in fault(full, "SR-LEDGER-REORDERED")


@pytest.mark.parametrize("victim", range(2, 13))
def test_sa_10_an_edited_line_is_a_changed_line(full, victim):
    older = "CAST(REPLACE(CAST(line AS TEXT), '2026-03', '2026-02') AS BLOB)"
    full.tamper((f"UPDATE ledger_lines SET line = {older} WHERE seq = ?", victim))  # noqa: S608  # the test's own
    assert str(victim) in fault(full, "SR-LEDGER-EDITED")


def test_sa_10_a_line_that_is_none_any_more_is_named(full):
    full.tamper(("UPDATE ledger_lines SET line = ? WHERE seq = 6", b"nothing"))
    assert "line 6" in fault(full, "SR-LEDGER-BROKEN")


@pytest.mark.parametrize("kept", [1, 3, 8, 12])
def test_sa_10_lines_cut_off_the_end_are_missed(full, kept):
    full.tamper(("DELETE FROM ledger_lines WHERE seq >= ?", kept), ("DELETE FROM ledger_roots WHERE size >= ?", kept))
    assert f"ends at line {kept - 1}, but line 12 was written" in fault(full, "SR-LEDGER-TRUNCATED")
    refused_at_start(full, "SR-LEDGER-TRUNCATED")


def test_sa_10_an_emptied_ledger_is_missed(full):
    full.tamper(("DELETE FROM ledger_lines",), ("DELETE FROM ledger_roots",))
    fault(full, "SR-LEDGER-TRUNCATED")
    refused_at_start(full, "SR-LEDGER-TRUNCATED")


def test_sa_10_a_chain_rebuilt_without_one_line_does_not_have_the_signed_root(full):
    lines, head = rebuilt(full, edit=lambda seq, record: None if seq == 4 else record)
    full.tamper(*replace_all(lines, head))
    fault(full, "SR-LEDGER-HEAD")
    with pytest.raises(LedgerBroken) as found:  # to an auditor, who has no key to the seal
        verify_store(full.look(), keys=[full.signer.public_key()])
    assert found.value.code == "SR-LEDGER-ROOT"
    assert "not over the 6 lines" in found.value.sentence


def test_sa_10_a_chain_rebuilt_around_an_edited_line_does_not_have_the_signed_root(full):
    lines, head = rebuilt(full, edit=exonerate)
    full.tamper(*replace_all(lines, head))
    fault(full, "SR-LEDGER-HEAD")
    with pytest.raises(LedgerRewritten) as found:
        verify_store(full.look(), keys=[full.signer.public_key()])
    assert found.value.code == "SR-LEDGER-REWRITTEN"
    assert "whose root was signed at 2026-03-04T05:06:12" in found.value.sentence


def test_sa_10_a_forgers_own_signature_is_not_the_ledgers(full):
    """The whole chain is rebuilt, and every root signed anew with a key that is not the ledger's."""
    forger, tree, roots = Ed25519PrivateKey.generate(), merkle.Frontier(), []
    head, lines = chain.EMPTY, []
    for (text,) in full.rows("SELECT line FROM ledger_lines ORDER BY seq"):
        entry = json.loads(text)
        record = exonerate(entry["seq"], {n: v for n, v in entry.items() if n not in {"seq", "time", "prev"}})
        if entry["kind"] == "root":
            signed = sign(Checkpoint(origin_of(lines[0]), len(lines), tree.root(), 1), forger)
            record = {"kind": "root", "size": len(lines), "checkpoint": signed.to_text()}
            roots.append(("UPDATE ledger_roots SET time_ms = 1, root = ?, signature = ? WHERE size = ?",
                          tree.root(), signed.signatures[0].blob, len(lines)))  # fmt: skip
        line, head = chain.write_line(head, record, time=entry["time"])
        lines.append(line[:-1])
        tree = tree.grown(merkle.leaf_hash(line[:-1]))
    full.tamper(*replace_all(lines, head), *roots)
    fault(full, "SR-LEDGER-HEAD")
    with pytest.raises(LedgerBroken) as found:
        verify_store(full.look(), keys=[full.signer.public_key()])
    assert found.value.code == "SR-LEDGER-ROOT"
    assert "not signed by this ledger's key" in found.value.sentence


def test_sa_10_lines_behind_the_last_root_are_sealed_too(full):
    lines, head = rebuilt(full, edit=lambda seq, record: {**record, "decision": "denied"} if seq == 10 else record)
    full.tamper(*replace_all(lines, head))
    assert "somebody changed it" in fault(full, "SR-LEDGER-HEAD")
    refused_at_start(full, "SR-LEDGER-HEAD")


def test_sa_10_lines_added_behind_the_end_are_seen(full):
    (text,) = full.rows("SELECT line FROM ledger_lines WHERE seq = 12")[0]
    line, _ = chain.write_line(Head(12, chain.digest(text)), {"kind": "decision"}, time="2026-03-05T00:00:00.000Z")
    full.tamper(("INSERT INTO ledger_lines VALUES (13, ?)", line[:-1]))
    assert "lines stand behind line 12" in fault(full, "SR-LEDGER-HEAD")
    refused_at_start(full, "SR-LEDGER-EDITED")


@pytest.mark.parametrize(
    "change",
    ["seq = seq - 1", "digest = replace(digest, substr(digest, 1, 1), 'x')", "digest = 'short'", "time_ms = 5",
     "frontier = zeroblob(length(frontier))", "root = zeroblob(32)", "root_size = 1", "seq = 'x'", "root = 'x'",
     "time_ms = 'x'", "root_size = 'x'", "seal = 5", "digest = x'00'", "frontier = 'x'",
     "frontier = x'00'", "seal = zeroblob(32)", "seq = -1", "id = 2"],
)  # fmt: skip
def test_sa_10_an_edited_head_is_seen_at_once(full, change):
    full.tamper((f"UPDATE ledger_head SET {change}",))  # noqa: S608  # the test's own
    fault(full, "SR-LEDGER-HEAD")
    refused_at_start(full, "SR-LEDGER-HEAD")


def test_sa_10_a_head_that_changes_under_a_running_broker_stops_it(full):
    store = full.look()
    ledger = Ledger(store, full.signer)
    store.write(lambda tx: tx.execute("UPDATE ledger_head SET time_ms = 5"))
    with pytest.raises(LedgerBroken) as found:
        store.write(lambda tx: ledger.append(tx, {"kind": "decision"}))
    assert found.value.code == "SR-LEDGER-HEAD"
    store.write(lambda tx: tx.execute("DELETE FROM ledger_head"))
    for ask in (lambda: store.write(lambda tx: ledger.append(tx, {"kind": "decision"})), ledger.head):
        with pytest.raises(LedgerBroken, match="is gone"):
            ask()


@pytest.mark.parametrize(
    "change",
    ["UPDATE ledger_roots SET root = zeroblob(32) WHERE size = 7",
     "UPDATE ledger_roots SET signature = zeroblob(68) WHERE size = 7",
     "UPDATE ledger_roots SET time_ms = 7 WHERE size = 7",
     "UPDATE ledger_roots SET time_ms = 'x', root = 'x', signature = 5 WHERE size = 7",
     "UPDATE ledger_roots SET size = 8 WHERE size = 7",
     "DELETE FROM ledger_roots WHERE size = 7",
     "DELETE FROM ledger_roots",
     "INSERT INTO ledger_roots SELECT 3, time_ms, root, signature, key_id FROM ledger_roots WHERE size = 7",
     "INSERT INTO ledger_roots SELECT 9, time_ms, root, signature, key_id FROM ledger_roots WHERE size = 7"],
)  # fmt: skip
def test_sa_10_an_edited_table_of_roots_is_seen(full, change):
    full.tamper((change,))
    fault(full, "SR-LEDGER-ROOT")


def test_sa_10_two_logs_with_the_same_beginning_part_where_they_part(full, book_in, tmp_path):
    (tmp_path / "copy").mkdir()
    full.close()
    shutil.copy(full.path, tmp_path / "copy/broker.db")
    full.open()
    full.decide(3, secret="one")
    fork = book_in(tmp_path / "copy", signer=full.signer, head_file=False)
    fork.decide(3, secret="other")
    assert full.ledger.verify().size == fork.ledger.verify().size  # each is whole
    one, other = ([line for _, line in each.ledger.lines()] for each in (full, fork))
    with pytest.raises(LedgerForked) as found:
        check_same(one, other)
    assert found.value.code == "SR-LEDGER-FORKED"
    assert "part at line 13" in found.value.sentence
    assert check_same(one, one[:9]) == check_same(one[:9], one) == 9
    signed = fork.ledger.sign_root()
    with pytest.raises(LedgerTruncated):
        audit(one[:14], checkpoints=[signed.checkpoint])
    full.decide(5)
    with pytest.raises(LedgerRewritten):
        verify_store(full.store, signer=full.signer, checkpoints=[signed.checkpoint])


def test_sa_12_an_older_copy_of_the_store_is_refused_at_the_start(full, tmp_path):
    full.ledger.sign_root()
    full.close()
    shutil.copy(full.path, tmp_path / "old.db")
    full.open()
    full.decide(5)
    full.ledger.sign_root()
    full.close()
    shutil.copy(tmp_path / "old.db", full.path)
    full.open()
    assert full.ledger.verify()  # in itself it is whole
    with pytest.raises(LedgerRolledBack) as found:
        check_not_rolled_back(full.ledger, full.store)
    assert found.value.code == "SR-LEDGER-ROLLED-BACK"
    assert "has 14 lines" in found.value.sentence
    full.decide(12, secret="written over what was")
    with pytest.raises(LedgerRolledBack, match="put back and used"):
        check_not_rolled_back(full.ledger, full.store)


def test_sa_12_a_store_that_was_removed_is_not_begun_anew(full):
    full.close()
    for file in full.path.parent.glob("broker.db*"):
        if file.suffix != ".head":
            file.unlink()
    with pytest.raises(LedgerRolledBack, match="remembers one"):
        full.open()


def test_sa_12_a_missing_memory_is_told_in_the_ledger_and_written_anew(full):
    full.ledger.head_file.unlink()
    check_not_rolled_back(full.again(), full.store)
    assert full.ledger.head_file.exists()
    assert [entry["kind"] for entry in full.ledger.entries(after=12)] == ["repair", "root"]
    check_not_rolled_back(full.ledger, full.store)
    assert full.ledger.head().seq == 14


def test_sa_12_the_store_that_is_newest_starts(full):
    check_not_rolled_back(full.ledger, full.store)
    full.decide(3)
    full.ledger.sign_root()
    check_not_rolled_back(full.again(), full.store)


def test_sa_12_an_old_copy_that_went_on_does_not_pass_with_the_newer_roots_put_into_it(full):
    """The forger keeps the old copy's lines and end, and adds what the newer store had signed."""
    old = full.path.read_bytes()
    full.close()
    old = full.path.read_bytes()
    full.open()
    full.decide(3)
    full.ledger.sign_root()
    roots = full.rows("SELECT size, time_ms, root, signature, key_id FROM ledger_roots WHERE size > 7")
    lines = full.rows("SELECT seq, line FROM ledger_lines")
    full.close()
    full.path.write_bytes(old)
    full.open()
    full.decide(20, secret="another")
    full.tamper(*(("INSERT INTO ledger_roots VALUES (?, ?, ?, ?, ?)", *row) for row in roots))
    full.open()
    with pytest.raises(LedgerRolledBack):
        check_not_rolled_back(full.ledger, full.store)
    full.tamper(*(("UPDATE ledger_lines SET line = ? WHERE seq = ?", line, seq) for seq, line in lines))
    full.open()
    with pytest.raises(LedgerBroken, match="lead to its end"):
        check_not_rolled_back(full.ledger, full.store)


@pytest.mark.parametrize("change", ["DELETE FROM ledger_roots", "UPDATE ledger_roots SET signature = zeroblob(68)"])
def test_sa_10_a_changed_root_is_not_handed_on(full, change):
    full.ledger.sign_root()
    full.tamper((change,))
    full.open()
    with pytest.raises(LedgerBroken) as found:
        full.ledger.sign_root()
    assert found.value.code == "SR-LEDGER-ROOT"
