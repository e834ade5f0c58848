"""The ledger: every line is chained, on the disk in time, and whatever is done to the file afterwards shows."""

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from strongroom.broker.ledger import chain
from strongroom.broker.ledger import file as ledger
from strongroom.broker.ledger.chain import Head, LedgerBroken
from strongroom.broker.ledger.file import Ledger, LedgerInUse, LedgerTorn, LedgerUnwritable

AT = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.jsonl"


def written(path, count=3):
    """Write a ledger of a genesis line and `count` decisions; return its lines."""
    with Ledger(path) as book:
        for number in range(count):
            book.append({"kind": "decision", "number": number}, at=AT)
    return path.read_bytes().splitlines(keepends=True)


def broken(path, **options):
    with pytest.raises(LedgerBroken) as refusal:
        ledger.verify(path, **options)
    assert refusal.value.code == "SR-LEDGER-BROKEN"
    return refusal.value.sentence


def test_a_line_names_its_place_its_time_and_the_line_before(path):
    lines = written(path)
    entries = [json.loads(line) for line in lines]
    assert [entry["seq"] for entry in entries] == [0, 1, 2, 3]
    assert [entry["kind"] for entry in entries] == ["genesis", "decision", "decision", "decision"]
    assert entries[1]["time"] == "2026-03-04T05:06:07.089Z"
    assert entries[0]["prev"] == chain.GENESIS_PREV
    assert ledger.verify(path).seq == 3
    assert list(ledger.entries(path)) == entries


def test_only_the_owner_reads_it(path):
    written(path)
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


def test_it_goes_on_where_it_ended(path):
    written(path)
    with Ledger(path) as book:
        assert book.repaired_bytes == 0
        assert book.append({"kind": "decision"}, at=AT) == 4
        assert book.verify() == ledger.verify(path) == Head(4, book.verify().digest)


def test_a_second_writer_is_refused(path):
    with Ledger(path), pytest.raises(LedgerInUse) as refusal:
        Ledger(path)
    assert refusal.value.code == "SR-LEDGER-IN-USE"
    with Ledger(path) as book:  # the lock went with the first writer
        book.append({"kind": "decision"}, at=AT)


@pytest.mark.parametrize("victim", range(4))
def test_sa_10_a_removed_line_shows(path, victim):
    lines = written(path)
    path.write_bytes(b"".join(lines[:victim] + lines[victim + 1 :]))
    broken(path)
    with pytest.raises(LedgerBroken):
        Ledger(path)


def test_sa_10_lines_cut_off_the_end_show(path):
    lines = written(path)
    for kept in range(4):
        path.write_bytes(b"".join(lines[:kept]))
        assert "was written" in broken(path)


def test_sa_10_moved_lines_show(path):
    lines = written(path)
    path.write_bytes(b"".join([lines[0], lines[2], lines[1], lines[3]]))
    assert "removed or moved" in broken(path)


def test_sa_10_any_changed_byte_shows(path):
    original = b"".join(written(path))
    for place in range(len(original)):
        changed = bytearray(original)
        changed[place] ^= 0x01
        path.write_bytes(changed)
        with pytest.raises((LedgerBroken, LedgerTorn)):
            ledger.verify(path)


def test_sa_10_a_fork_behind_a_common_beginning_shows(path, tmp_path):
    lines = written(path)
    fork = tmp_path / "fork.jsonl"
    fork.write_bytes(lines[0])
    ledger.head_path(fork).write_text(chain.check([lines[0].rstrip(b"\n")]).to_text())
    with Ledger(fork) as book:
        for _ in range(3):
            book.append({"kind": "decision", "number": 99}, at=AT)
    path.write_bytes(fork.read_bytes())
    assert "remembered" in broken(path)
    head = ledger.verify(fork)
    assert ledger.verify(path, remembered=head) == head  # the fork itself is whole: only a kept head tells them apart


def test_sa_10_a_missing_head_is_not_overlooked(path):
    written(path)
    ledger.head_path(path).unlink()
    assert "is missing" in broken(path)
    with pytest.raises(LedgerBroken):
        Ledger(path)


@pytest.mark.parametrize(
    "text", ["nonsense", "00000000000000000003", "x" * 20 + " " + "a" * 64, "٣" * 20 + " " + "a" * 64]
)
def test_an_unreadable_head_is_refused(path, text):
    written(path)
    ledger.head_path(path).write_text(text)
    assert "cannot be read" in broken(path)


def test_a_torn_last_line_is_reported_and_then_repaired_loudly(path):
    lines = written(path)
    path.write_bytes(b"".join(lines) + b'{"seq":4,"time"')
    with pytest.raises(LedgerTorn) as refusal:
        ledger.verify(path)
    assert refusal.value.code == "SR-LEDGER-TORN"
    with Ledger(path) as book:
        assert book.repaired_bytes == 15
    last = list(ledger.entries(path))[-1]
    assert (last["kind"], last["torn_bytes"]) == ("repair", 15)
    assert ledger.verify(path).seq == 4


def test_a_line_that_had_reached_the_disk_is_not_repaired_away(path):
    whole = b"".join(written(path))
    path.write_bytes(whole[:-9])
    with pytest.raises(LedgerBroken, match="was written"):
        Ledger(path)
    assert path.read_bytes() == whole[:-9]


def test_a_closed_ledger_takes_no_line(path):
    with Ledger(path) as book:
        pass
    with pytest.raises(LedgerUnwritable):
        book.append({"kind": "decision"}, at=AT)


def test_lines_that_need_not_wait_reach_the_disk_with_the_next_that_must(path):
    with Ledger(path) as book:
        before = ledger.head_path(path).read_text()
        book.append({"kind": "connection"}, at=AT, durable=False)
        assert ledger.head_path(path).read_text() == before
        book.append({"kind": "decision"}, at=AT)
        assert Head.from_text(ledger.head_path(path).read_text()).seq == 2
        book.append({"kind": "connection"}, at=AT, durable=False)
    assert Head.from_text(ledger.head_path(path).read_text()).seq == 3


def test_threads_share_one_chain(path):
    with Ledger(path) as book:
        threads = [
            threading.Thread(target=lambda: [book.append({"kind": "decision"}, at=AT) for _ in range(20)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert book.verify().seq == 160


def test_a_platform_has_one_name_per_ledger(path, tmp_path):
    with Ledger(path) as first, Ledger(tmp_path / "other.jsonl") as second:
        name = first.hashed_platform(b"ppid" * 4)
        assert name == first.hashed_platform(b"ppid" * 4)
        assert name not in {first.hashed_platform(b"another platform"), second.hashed_platform(b"ppid" * 4)}
    with Ledger(path) as again:
        assert again.hashed_platform(b"ppid" * 4) == name


FILL_THE_DISK = """
import resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from strongroom.broker.ledger.file import Ledger, LedgerUnwritable

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Ledger(Path(sys.argv[1])) as book:
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))  # files may not grow beyond 600 bytes
    for number in range(100):
        try:
            book.append({"kind": "decision", "number": number}, at=datetime.now(UTC))
        except LedgerUnwritable as refusal:
            sys.exit(f"{number} {refusal.code}")
"""


def test_sa_11_a_full_disk_means_no_line_and_leaves_the_chain_whole(path):
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, path], check=False, capture_output=True, text=True, timeout=60
    )
    number, code = done.stderr.split()
    assert code == "SR-LEDGER-UNWRITABLE"
    assert ledger.verify(path).seq == int(number) > 0  # genesis and the lines that were acknowledged


def test_sa_11_a_ledger_that_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(LedgerUnwritable):
        Ledger(tmp_path / "absent" / "ledger.jsonl")


def test_sa_11_after_a_failed_sync_nothing_more_is_taken(path):
    book = Ledger(path)
    kept, unwritable = os.dup(book._head_file), os.open(os.devnull, os.O_RDONLY)
    os.dup2(unwritable, book._head_file)
    for _ in range(2):
        with pytest.raises(LedgerUnwritable):
            book.append({"kind": "decision"}, at=AT)
    os.dup2(kept, book._head_file)
    with pytest.raises(LedgerUnwritable):
        book.append({"kind": "decision"}, at=AT)
    book.close()
    os.close(unwritable)
    os.close(kept)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b'{"seq":1}',
        b'{"seq":0,"seq":0}',
        b"\xff",
        b"{",
        b'{"seq":true,"time":"","prev":"","kind":""}',
    ],
)
def test_a_line_that_is_no_entry_is_named(line):
    with pytest.raises(LedgerBroken, match="line 0"):
        chain.check([line])


def test_a_record_cannot_choose_its_place():
    with pytest.raises(ValueError, match="no place of its own"):
        chain.write_line(chain.EMPTY, {"kind": "decision", "prev": "f" * 64}, at=AT)
    with pytest.raises(ValueError, match="kind"):
        chain.write_line(chain.EMPTY, {}, at=AT)
    with pytest.raises(ValueError, match="too long"):
        chain.write_line(chain.EMPTY, {"kind": "x" * chain.MAX_LINE_BYTES}, at=AT)


def test_an_endless_line_is_refused(path):
    path.write_bytes(b"x" * (3 * chain.MAX_LINE_BYTES))
    assert "no line" in broken(path, remembered=chain.EMPTY)
    path.write_bytes(b"x" * (3 * chain.MAX_LINE_BYTES) + b"\n")
    assert "line of more than" in broken(path, remembered=chain.EMPTY)


def test_a_file_that_does_not_begin_as_a_ledger_is_not_continued(path):
    line, head = chain.write_line(chain.EMPTY, {"kind": "decision"}, at=AT)
    path.write_bytes(line)
    ledger.head_path(path).write_text(head.to_text())
    with pytest.raises(LedgerBroken, match="begin"):
        Ledger(path)


def test_a_ledger_whose_disk_was_full_at_its_very_beginning_goes_on_once_there_is_room(path):
    Ledger(path).close()
    ledger.head_path(path).write_text("")  # the first line found room, the head beside it did not
    with Ledger(path) as book:
        book.append({"kind": "decision"}, at=AT)
    assert ledger.verify(path).seq == 1
    ledger.head_path(path).write_text("")  # from the first decision on a missing head is somebody's doing
    with pytest.raises(LedgerBroken) as caught:
        Ledger(path)
    assert caught.value.code == "SR-LEDGER-BROKEN"
