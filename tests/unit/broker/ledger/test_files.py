"""Lines, the file `ledger.jsonl` of earlier releases, how a store takes it in, and copies for auditors."""

import fcntl
import json
from datetime import UTC, datetime

import pytest

from strongroom.broker.ledger import chain, file
from strongroom.broker.ledger.chain import Head
from strongroom.broker.ledger.faults import HeadChanged, LedgerBroken, LedgerNotEmpty, LedgerTruncated
from strongroom.broker.ledger.file import LedgerInUse, LedgerTorn
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.ledger.transfer import export, take_in
from strongroom.broker.store.sqlite import SqliteStore
from strongroom.pki.disk import AlreadyThere

AT = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
SALT = bytes(range(16))


def write_old(path, count=3):
    """Write the ledger of an earlier release: a genesis line and `count` decisions; return its lines."""
    records = [{"kind": "genesis", "version": 1, "salt": SALT.hex()}]
    records += [{"kind": "decision", "id": f"case{number}", "number": number} for number in range(count)]
    head, lines = chain.EMPTY, []
    for record in records:
        line, head = chain.write_line(head, record, at=AT)
        lines.append(line)
    path.write_bytes(b"".join(lines))
    file.head_path(path).write_text(head.to_text())
    return lines


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def empty_store(tmp_path):
    store = SqliteStore(tmp_path / "taken.db")
    yield store
    store.close()


def broken(path, code="SR-LEDGER-BROKEN", **options):
    with pytest.raises(LedgerBroken) as refusal:
        file.verify(path, **options)
    assert refusal.value.code == code
    return refusal.value.sentence


def test_a_line_names_its_place_its_time_and_the_line_before(path):
    lines = write_old(path)
    entries = [json.loads(line) for line in lines]
    assert [entry["seq"] for entry in entries] == [0, 1, 2, 3]
    assert entries[1]["time"] == "2026-03-04T05:06:07.089Z"
    assert entries[0]["prev"] == chain.GENESIS_PREV
    assert file.verify(path).head.seq == 3
    assert list(file.entries(path)) == entries


@pytest.mark.parametrize("ms", [0, 1, 999, 1772600767089, 4102444799999])
def test_milliseconds_are_written_as_times_are(ms):
    assert chain.timestamp_ms(ms) == chain.timestamp(datetime.fromtimestamp(ms / 1000, UTC))


@pytest.mark.parametrize("victim", range(4))
def test_sa_10_a_line_removed_from_a_file_shows(path, victim):
    lines = write_old(path)
    path.write_bytes(b"".join(lines[:victim] + lines[victim + 1 :]))
    broken(path, "SR-LEDGER-TRUNCATED" if victim == 3 else "SR-LEDGER-REMOVED")


def test_sa_10_lines_cut_off_the_end_of_a_file_show(path):
    lines = write_old(path)
    for kept in range(1, 4):
        path.write_bytes(b"".join(lines[:kept]))
        assert "was written" in broken(path, "SR-LEDGER-TRUNCATED")
    path.write_bytes(b"")
    broken(path, "SR-LEDGER-TRUNCATED")


def test_sa_10_lines_moved_in_a_file_show(path):
    lines = write_old(path)
    path.write_bytes(b"".join([lines[0], lines[2], lines[1], lines[3]]))
    assert "lines were moved" in broken(path, "SR-LEDGER-REORDERED")


def test_sa_10_any_changed_byte_of_a_file_shows(path):
    original = b"".join(write_old(path))
    for place in range(len(original)):
        changed = bytearray(original)
        changed[place] ^= 0x01
        path.write_bytes(changed)
        with pytest.raises((LedgerBroken, LedgerTorn)):
            file.verify(path)


def test_sa_10_a_file_without_its_head_is_not_trusted_but_for_one_line(path):
    lines = write_old(path)
    file.head_path(path).unlink()
    assert "is missing" in broken(path, "SR-LEDGER-HEAD")
    path.write_bytes(lines[0])
    assert file.verify(path).size == 1


@pytest.mark.parametrize(
    "text", ["nonsense", "00000000000000000003", "x" * 20 + " " + "a" * 64, "٣" * 20 + " " + "a" * 64]
)
def test_an_unreadable_head_is_refused(path, text):
    write_old(path)
    file.head_path(path).write_text(text)
    with pytest.raises(HeadChanged, match="cannot be read"):
        file.verify(path)


def test_a_torn_last_line_is_reported(path):
    lines = write_old(path)
    path.write_bytes(b"".join(lines) + b'{"seq":4,"time"')
    with pytest.raises(LedgerTorn) as refusal:
        file.verify(path)
    assert refusal.value.code == "SR-LEDGER-TORN"
    assert len(list(file.lines(path))) == 4


def test_an_endless_line_is_refused(path):
    path.write_bytes(b"x" * (3 * chain.MAX_LINE_BYTES))
    assert "no line" in broken(path, remembered=chain.EMPTY)
    path.write_bytes(b"x" * (3 * chain.MAX_LINE_BYTES) + b"\n")
    assert "line of more than" in broken(path, remembered=chain.EMPTY)


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"{}", b'{"seq":1}', b'{"seq":0,"seq":0}', b"\xff", b"{",
     b'{"seq":true,"time":"","prev":"","kind":""}', b'{"seq":0,"time":"","prev":"x","kind":""}'],
)  # fmt: skip
def test_a_line_that_is_no_entry_is_named(line):
    with pytest.raises(LedgerBroken, match="line 0"):
        chain.check([line])


def test_a_chain_is_compared_with_a_head_that_is_remembered():
    line, head = chain.write_line(chain.EMPTY, {"kind": "genesis"}, at=AT)
    assert chain.check([line[:-1]], remembered=head) == head
    with pytest.raises(LedgerBroken, match="remembered as the last"):
        chain.check([line[:-1]], remembered=Head(0, "a" * 64))
    with pytest.raises(LedgerTruncated):
        chain.check([line[:-1]], remembered=Head(1, "a" * 64))


def test_a_record_cannot_choose_its_place():
    for name in ("seq", "time", "prev"):
        with pytest.raises(ValueError, match="no place of its own"):
            chain.write_line(chain.EMPTY, {"kind": "decision", name: "f" * 64}, at=AT)


def test_an_old_ledger_is_taken_in_byte_for_byte(path, empty_store, book_in, tmp_path):
    lines = write_old(path, 1500)
    (tmp_path / "next").mkdir()
    book = book_in(tmp_path / "next")
    book.close()
    assert take_in(empty_store, book.signer, path) == 1501
    assert sorted(each.name for each in tmp_path.iterdir() if "ledger" in each.name) == [
        "ledger.jsonl.head.imported", "ledger.jsonl.imported",
    ]  # fmt: skip
    ledger = Ledger(empty_store, book.signer)
    *taken, (_, root) = ledger.lines()
    assert [line for _, line in taken] == [line.rstrip(b"\n") for line in lines]
    assert json.loads(root)["size"] == 1501  # signed in the same transaction
    assert ledger.genesis.salt == SALT  # platforms keep their names
    assert empty_store.write(lambda tx: ledger.append(tx, {"kind": "decision"})) == 1502
    assert ledger.verify().roots == 1


@pytest.mark.parametrize("renamed", [0, 1])
def test_taking_in_that_was_interrupted_is_finished(path, empty_store, book, renamed):
    lines = write_old(path)
    head = file.head_path(path).read_bytes()
    assert take_in(empty_store, book.signer, path) == 4
    if not renamed:  # the power went before the files got their other names
        path.write_bytes(b"".join(lines))
    file.head_path(path).write_bytes(head)
    assert take_in(empty_store, book.signer, path) == 0
    assert take_in(empty_store, book.signer, path) == 0
    assert not path.exists()
    assert not file.head_path(path).exists()


def test_a_broken_old_ledger_is_not_taken_in(path, empty_store, book):
    lines = write_old(path)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(LedgerBroken):
        take_in(empty_store, book.signer, path)
    assert path.exists()
    assert empty_store.read(lambda tx: tx.execute("SELECT COUNT(*) FROM ledger_lines")) == [(0,)]


def test_an_old_ledger_is_not_mixed_with_another(path, book):
    write_old(path)
    with pytest.raises(LedgerNotEmpty) as refusal:
        take_in(book.store, book.signer, path)
    assert refusal.value.code == "SR-LEDGER-NOT-EMPTY"
    assert path.exists()


def test_an_old_ledger_that_is_still_written_is_left_alone(path, empty_store, book):
    write_old(path)
    with path.open("ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        with pytest.raises(LedgerInUse) as refusal:
            take_in(empty_store, book.signer, path)
        assert refusal.value.code == "SR-LEDGER-IN-USE"


def test_a_copy_is_the_same_lines_and_private(book, tmp_path):
    book.decide(3)
    book.ledger.sign_root()
    copy = tmp_path / "copy.jsonl"
    assert export((line for _, line in book.ledger.lines()), copy) == 6
    assert list(file.lines(copy)) == [line for _, line in book.ledger.lines()]
    assert copy.stat().st_mode & 0o777 == 0o600
    assert file.verify(copy, keys=[book.ledger.public_key]).roots == 2
    with pytest.raises(AlreadyThere):
        export([], copy)
    assert [each.name for each in tmp_path.glob(".*")] == []


def test_sa_10_a_copy_cut_short_is_seen_with_its_checkpoint(book, tmp_path):
    book.decide(3)
    signed = book.ledger.sign_root()
    copy = tmp_path / "copy.jsonl"
    export((line for _, line in book.ledger.lines(limit=4)), copy)
    file.verify(copy)
    with pytest.raises(LedgerTruncated, match="5 lines were there before"):
        file.verify(copy, checkpoints=[signed.checkpoint])
    copy.write_bytes(copy.read_bytes().splitlines(keepends=True)[0])
    broken(copy, "SR-LEDGER-ROOT")
