"""The SQLite file: who may see it, whose it is, what a kill, a full disk and another process do to it."""

import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest

from strongroom.broker.store import schema
from strongroom.broker.store.errors import (
    StoreAddress,
    StoreDamaged,
    StoreExtraMissing,
    StoreMoved,
    StoreTooNew,
    StoreUnavailable,
)
from strongroom.broker.store.migrating import MOVED_TO, put
from strongroom.broker.store.opening import open_store
from strongroom.broker.store.sqlite import SqliteStore
from strongroom.pki.disk import LoosePermissions

INSERT = "INSERT INTO ledger_lines (seq, line) VALUES (?, ?)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "broker.db"


def test_the_files_are_their_owners_alone_whatever_the_umask_says(path):
    before = os.umask(0)
    try:
        store = SqliteStore(path)
        store.write(lambda tx: tx.execute(INSERT, (1, b"")))
    finally:
        os.umask(before)
    assert {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {
        "broker.db": 0o600, "broker.db-wal": 0o600, "broker.db-shm": 0o600}  # fmt: skip
    store.close()
    assert [each.name for each in path.parent.iterdir()] == ["broker.db"]


def test_every_commit_is_synced_and_deleted_rows_are_overwritten(path):
    store = SqliteStore(path)
    wanted = {"synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "trusted_schema": 0}

    def settings(tx):
        return {name: tx.execute(f"PRAGMA {name}")[0][0] for name in wanted}

    assert store.read(settings) == wanted
    assert store.write(settings) == wanted
    assert store.read(lambda tx: tx.execute("PRAGMA journal_mode")) == [("wal",)]
    store.close()


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_file_that_others_may_read_is_refused(path, suffix):
    SqliteStore(path).close()
    loose = path.with_name(path.name + suffix)
    loose.touch()
    loose.chmod(0o640)
    with pytest.raises(LoosePermissions) as refusal:
        open_store(path)
    assert refusal.value.fix == f"Run: chmod 0600 '{loose}'"


def test_a_folder_that_others_may_write_to_is_refused(path):
    path.parent.chmod(0o770)
    with pytest.raises(LoosePermissions):
        open_store(path)


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_link_in_the_place_of_a_file_is_refused(path, tmp_path, suffix):
    SqliteStore(path).close()
    place = path.with_name(path.name + suffix)
    other = tmp_path / "other"
    other.touch(mode=0o600)
    place.unlink(missing_ok=True)
    place.symlink_to(other)
    with pytest.raises(StoreAddress) as refusal:
        open_store(path)
    assert refusal.value.code == "SR-STORE-ADDRESS"
    assert other.read_bytes() == b""


@pytest.mark.parametrize("location", ["", "mysql://host/db", "a\0b"])
def test_a_place_that_is_none_is_refused(location):
    with pytest.raises(StoreAddress):
        open_store(location)


def test_a_folder_that_is_not_there_is_refused(path):
    with pytest.raises(StoreAddress):
        open_store(path.parent / "none" / "broker.db")


def test_a_file_that_is_no_database_is_refused(path):
    path.touch(mode=0o600)
    path.write_bytes(b"SQLite format 2\0" + bytes(5000))
    with pytest.raises(StoreDamaged) as refusal:
        open_store(path)
    assert refusal.value.code == "SR-STORE-DAMAGED"


def test_another_programs_database_is_refused_and_left_alone(path):
    path.touch(mode=0o600)
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (id)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreDamaged):
        open_store(path)
    assert path.read_bytes() == before


def test_a_page_that_was_changed_is_noticed(path):
    store = SqliteStore(path)
    store.write(lambda tx: [tx.execute(INSERT, (each, bytes(2000))) for each in range(200)])
    store.close()
    raw = bytearray(path.read_bytes())
    for page in range(len(raw) // 2 // 4096, len(raw) // 4096):
        raw[page * 4096 : page * 4096 + 16] = bytes(range(200, 216))
    path.write_bytes(raw)
    store = SqliteStore(path)
    with pytest.raises(StoreDamaged):
        store.read(lambda tx: tx.execute("SELECT * FROM ledger_lines"))
    with pytest.raises(StoreDamaged):
        store.write(lambda tx: tx.execute("SELECT * FROM ledger_lines"))
    store.close()


def test_a_newer_strongrooms_tables_are_refused(path):
    store = SqliteStore(path)
    store.write(lambda tx: put(tx, "schema", str(len(schema.MIGRATIONS) + 1)))
    store.close()
    with pytest.raises(StoreTooNew) as refusal:
        open_store(path)
    assert refusal.value.code == "SR-STORE-TOO-NEW"


def test_a_store_that_was_moved_away_is_refused(path):
    store = SqliteStore(path)
    store.write(lambda tx: put(tx, MOVED_TO, "elsewhere"))
    store.close()
    with pytest.raises(StoreMoved) as refusal:
        open_store(path)
    assert refusal.value.code == "SR-STORE-MOVED"
    assert "elsewhere" in refusal.value.sentence


def test_without_psycopg_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "strongroom.broker.store.postgresql", raising=False)
    with pytest.raises(StoreExtraMissing) as refusal:
        open_store("postgresql:///x")
    assert refusal.value.code == "SR-STORE-EXTRA"


WRITER = """
import sys, threading
from pathlib import Path
from strongroom.broker.store.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
said = threading.Lock()

def write():
    while True:
        def operation(tx):
            ((last,),) = tx.execute("SELECT coalesce(max(seq), 0) FROM ledger_lines")
            tx.execute("INSERT INTO ledger_lines (seq, line) VALUES (?, ?)", (last + 1, b"first"))
            tx.execute("UPDATE ledger_lines SET line = ? WHERE seq = ?", (b"whole", last + 1))
            return last + 1
        number = store.write(operation)
        with said:
            print(number, flush=True)

for _ in range(4):
    threading.Thread(target=write).start()
"""


@pytest.mark.parametrize("lines", [1, 7, 40, 111])
def test_sa_11_a_killed_writer_leaves_every_write_it_spoke_of_and_none_half(path, lines):
    writing = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    said = [int(writing.stdout.readline()) for _ in range(lines)]
    writing.send_signal(signal.SIGKILL)
    said += [int(line) for line in writing.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    writing.wait(60)
    writing.stdout.close()
    store = SqliteStore(path)
    found = store.read(lambda tx: tx.execute("SELECT seq, line FROM ledger_lines ORDER BY seq"))
    store.close()
    assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
    assert {line for _, line in found} == {b"whole"}
    assert set(said) <= {seq for seq, _ in found}


FULL = """
import resource, sys
from pathlib import Path
from strongroom.broker.store.errors import StoreUnavailable
from strongroom.broker.store.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
insert = "INSERT INTO ledger_lines (seq, line) VALUES (?, ?)"
store.write(lambda tx: tx.execute(insert, (1, b"before")))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
for number in range(2, 5):
    try:
        store.write(lambda tx: tx.execute(insert, (number, bytes(400_000))))
    except StoreUnavailable as refusal:
        print(refusal.code)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
store.write(lambda tx: tx.execute(insert, (9, b"after")))
print([row[0] for row in store.read(lambda tx: tx.execute("SELECT seq FROM ledger_lines ORDER BY seq"))])
store.close()
"""


def test_sa_11_a_full_disk_fails_its_writes_and_the_store_goes_on_when_there_is_room(path):
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["SR-STORE-UNAVAILABLE"] * 3 + ["[1, 9]"], done.stderr


def test_another_process_that_keeps_the_file_locked_makes_it_unavailable(path, monkeypatch):
    monkeypatch.setattr("strongroom.broker.store.sqlite.BUSY_TIMEOUT_MS", 20)
    store = SqliteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        store.write(lambda tx: tx.execute(INSERT, (1, b"")))
    other.rollback()
    other.close()
    store.write(lambda tx: tx.execute(INSERT, (1, b"")))
    store.close()


def test_an_interrupted_leader_leaves_nobody_waiting(path):
    store = SqliteStore(path)
    begun, go_on = threading.Event(), threading.Event()

    def interrupted(tx):
        begun.set()
        go_on.wait(60)
        raise KeyboardInterrupt

    def leads():
        with pytest.raises(KeyboardInterrupt):
            store.write(interrupted)

    leader = threading.Thread(target=leads)
    leader.start()
    assert begun.wait(60)
    behind = store.submit(lambda tx: tx.execute(INSERT, (1, b"")))
    go_on.set()
    leader.join(60)
    assert behind.result(60) == []
    store.close()


def test_the_limits_of_this_process_are_untouched():
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
