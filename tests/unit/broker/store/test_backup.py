"""Backups and moves: what comes back is what went in, and nothing older or foreign takes its place."""

import hashlib
import json
import shutil
import sqlite3
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker.ledger import chain
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.store import backup, copying, moving
from strongroom.broker.store.errors import StoreConflict, StoreMoved, StoreTooNew
from strongroom.broker.store.migrating import put
from strongroom.broker.store.opening import open_store
from strongroom.broker.store.sqlite import SqliteStore
from strongroom.pki.disk import AlreadyThere, LoosePermissions

SIGNER = Ed25519PrivateKey.generate()


def decide(store, count=1, record=None):
    """Put lines into the store's ledger, which is begun if there is none; return the number of the last one."""
    ledger = Ledger(store, SIGNER)
    record = record or {"kind": "decision"}
    return store.write(lambda tx: [ledger.append(tx, record) for _ in range(count)])[-1]


def fill(store, lines=3):
    decide(store, lines)

    def others(tx):
        tx.execute("INSERT INTO tenants (name, state, created_ms, settings) VALUES ('ä', 'on', 5, '{}')")
        tx.execute("INSERT INTO policies (tenant, version, digest, text, author, created_ms, state)"
                   " VALUES ('ä', 1, '', ?, '', 5, '')", (bytes(range(256)),))  # fmt: skip
        tx.execute("INSERT INTO sessions (id, nonce, tee, state, created_ms, expires_ms, body)"
                   " VALUES ('1', 'used-nonce', 't', 'open', 0, 99, ?)", (b"",))  # fmt: skip
        put(tx, "deployment", "ours")

    store.write(others)


def content(store, wanted=None):
    return store.read(lambda tx: copying.read(tx, wanted or copying.lasting()))


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    opened = open_store(
        tmp_path / "broker.db" if request.param == "sqlite" else request.getfixturevalue("postgres").url
    )
    yield opened
    opened.close()


@pytest.fixture
def one(tmp_path):
    opened = SqliteStore(tmp_path / "one.db")
    fill(opened)
    yield opened
    opened.close()


@pytest.fixture
def other(tmp_path):
    opened = SqliteStore(tmp_path / "other.db")
    yield opened
    opened.close()


@pytest.fixture
def made(one, tmp_path):
    backup.write(one, tmp_path / "one.backup")
    return tmp_path / "one.backup"


def test_a_backup_comes_back_as_it_was_whatever_the_database(store, other, tmp_path):
    fill(store, lines=1300)
    steps = []
    label = backup.write(store, tmp_path / "b", progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (label.content.total, label.content.total)
    assert len(steps) >= 4
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir() if "partial" in each.name] == []
    assert backup.restore(tmp_path / "b", other) == label
    assert content(other) == content(store) == label.content
    assert label.content.head_seq >= 1300


def test_a_backup_fills_a_postgresql_store_from_sqlite(one, made, postgres):
    target = open_store(postgres.url)
    backup.restore(made, target)
    assert content(target) == content(one)
    target.close()


def test_sv_14_a_restored_store_has_no_nonce_that_could_be_used_again(made, other):
    assert b"used-nonce" not in made.read_bytes()
    backup.restore(made, other)
    assert other.read(lambda tx: tx.execute("SELECT * FROM sessions")) == []


def test_a_backup_never_replaces_anything(one, made):
    before = made.read_bytes()
    with pytest.raises(AlreadyThere):
        backup.write(one, made)
    assert made.read_bytes() == before


def test_brokers_go_on_while_a_backup_is_written(one, other, tmp_path):
    def progress(done, total):
        decide(one)

    before = content(one)
    label = backup.write(one, tmp_path / "b", progress=progress)
    assert label.content == before
    backup.restore(tmp_path / "b", other)
    assert content(one).head_seq > before.head_seq


def test_a_store_that_holds_something_is_not_overwritten(made, other):
    other.write(
        lambda tx: tx.execute("INSERT INTO tenants (name, state, created_ms, settings) VALUES ('t', '', 0, '')")
    )
    with pytest.raises(backup.StoreNotEmpty) as refusal:
        backup.restore(made, other)
    assert refusal.value.code == "SR-STORE-NOT-EMPTY"
    assert other.read(lambda tx: copying.count(tx, copying.lasting()))["policies"] == 0


def test_sa_12_an_older_backup_does_not_take_the_place_of_a_newer_ledger(one, made):
    last = decide(one)
    with pytest.raises(backup.BackupOlder, match=f"line {last - 1}, the store at line {last}") as refusal:
        backup.restore(made, one)
    assert refusal.value.code == "SR-BACKUP-OLDER"


def test_sa_10_a_backup_of_another_ledger_is_told_from_an_older_one(made, other):
    decide(other, 9, {"kind": "decision", "by": "somebody else"})
    with pytest.raises(backup.BackupForked) as refusal:
        backup.restore(made, other)
    assert refusal.value.code == "SR-BACKUP-FORKED"


def change(path, *statements):
    with sqlite3.connect(path, isolation_level=None) as database:
        for statement in statements:
            database.execute(statement)
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_lines SET line = CAST('{}' AS BLOB) WHERE seq = 1",
        "DELETE FROM ledger_lines WHERE seq = 2",
        "UPDATE policies SET state = 'x'",
        "UPDATE policies SET created_ms = '5x'",
        "INSERT INTO tenants VALUES ('more', '', 0, '')",
        "DELETE FROM backup",
        "INSERT INTO backup VALUES ('{}')",
        "UPDATE backup SET label = 'x'",
        "UPDATE backup SET label = '[1]'",
        "UPDATE backup SET label = '{\"format\": 1}'",
        "CREATE TABLE extra (x)",
        "CREATE VIEW extra AS SELECT 1",
        "CREATE TRIGGER extra AFTER INSERT ON tenants BEGIN SELECT 1; END",
        "DROP TABLE policies",
        "PRAGMA application_id = 5",
    ],
)
def test_sa_10_a_changed_backup_is_refused(made, other, statement):
    change(made, statement)
    with pytest.raises(backup.BackupDamaged) as refusal:
        backup.restore(made, other)
    assert refusal.value.code == "SR-BACKUP-DAMAGED"
    assert other.read(lambda tx: copying.count(tx, copying.lasting()))["tenants"] == 0


def test_sa_10_a_ledger_with_a_hole_is_refused_even_with_a_fitting_hash(made, other):
    change(made, "DELETE FROM ledger_lines WHERE seq = 1")
    database = sqlite3.connect(made, isolation_level=None)
    found = copying.read(backup._FileTx(database), copying.lasting())
    (text,) = database.execute("SELECT label FROM backup").fetchone()
    words = {**json.loads(text), "rows": dict(found.rows), "sha256": found.sha256}
    database.execute("UPDATE backup SET label = ?", (json.dumps(words),))
    database.close()
    with pytest.raises(chain.LedgerBroken):
        backup.restore(made, other)


def test_any_bytes_in_the_place_of_a_backup_are_refused(tmp_path, made, other):
    whole = made.read_bytes()
    place = tmp_path / "broken"
    place.touch(mode=0o600)
    for raw in (b"", b"x", whole[:100], whole[: len(whole) // 2], whole[:4096] + bytes(len(whole) - 4096)):
        place.write_bytes(raw)
        with pytest.raises((backup.BackupDamaged, chain.LedgerBroken)):
            backup.restore(place, other)
    digest = hashlib.sha256(whole).digest()
    with backup.opened(made) as (label, _):
        expected = label.content.sha256
    for spot in range(0, len(whole), len(whole) // 97):
        place.write_bytes(whole[:spot] + bytes([whole[spot] ^ (1 + digest[spot % 32] % 255)]) + whole[spot + 1 :])
        try:
            with backup.opened(place) as (label, _):
                assert label.content.sha256 == expected  # a byte that means nothing, such as the room between rows
        except (backup.BackupDamaged, StoreTooNew, chain.LedgerBroken):
            pass


def test_a_backup_that_others_may_read_or_write_is_refused(made, other):
    made.chmod(0o644)
    with pytest.raises(LoosePermissions):
        backup.restore(made, other)


def test_a_newer_backup_is_refused(made, other):
    change(made, "UPDATE backup SET label = replace(label, '\"schema\": ', '\"schema\": 99')")
    with pytest.raises(StoreTooNew):
        backup.restore(made, other)


def test_a_store_moves_to_postgresql_with_everything(one, postgres, tmp_path):
    target = open_store(postgres.url)
    assert moving.check(one, target).content.rows["policies"] == 1
    assert content(target).total == 0
    moved = moving.move(one, target)
    assert content(target, moving._wanted()) == moved.content == content(one, moving._wanted())
    assert target.read(lambda tx: tx.execute("SELECT nonce FROM sessions")) == [("used-nonce",)]
    with pytest.raises(StoreConflict, match="moved"):
        decide(one)
    with pytest.raises(StoreMoved):
        open_store(one.path)
    decide(target)
    target.close()


def test_a_move_that_broke_off_is_finished_by_the_next(one, postgres, tmp_path):
    one.read(lambda tx: None)
    shutil.copy(one.path, tmp_path / "copy.db")
    shutil.copy(one.path.with_name("one.db-wal"), tmp_path / "copy.db-wal")
    again = SqliteStore(tmp_path / "copy.db")
    target = open_store(postgres.url)
    moving.move(one, target)
    assert moving.check(again, target).done_before
    assert moving.move(again, target).done_before
    again.close()
    target.close()


def test_a_move_into_a_store_in_use_is_refused_and_the_source_goes_on(one, postgres):
    target = open_store(postgres.url)
    fill(target, lines=9)
    with pytest.raises(backup.BackupForked):
        moving.move(one, target)
    decide(one)
    target.close()


def test_a_copy_that_differs_is_no_move(one, other, monkeypatch):
    insert = copying._insert
    monkeypatch.setattr(
        copying, "_insert", lambda into, table, page: insert(into, table, page[1:]) if page[1:] else None
    )
    with pytest.raises(moving.MoveFailed) as refusal:
        moving.move(one, other)
    assert refusal.value.code == "SR-STORE-MOVE"
    assert content(other).total == 0
    decide(one)
