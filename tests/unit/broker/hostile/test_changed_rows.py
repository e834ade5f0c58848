"""Somebody who may write to the database, and has no root key, edits what releases and administrators rest on."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from strongroom.broker import floors, leases, revocations, tenants
from strongroom.broker.admin import Role
from strongroom.broker.admin.identities import ensure_owner_identity
from strongroom.broker.ledger.faults import HeadChanged, LedgerRolledBack
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.ledger.tables import Seal
from strongroom.broker.ledger.vouched import TABLES, RowsChanged, VouchedStore, touched
from strongroom.broker.opening import opened_workspace
from strongroom.broker.policy import history
from strongroom.broker.revocations import EVERY_TENANT
from strongroom.errors import Refused
from strongroom.workspace import Workspace

WIDE = b'version = 1\n[[rule]]\nname = "any"\nmrenclave = "' + b"ee" * 32 + b'"\nrelease = "model/m/1"\n'
NARROW = b"version = 1\n"
PROGRAM = "ab" * 32
EDITS = {
    "a policy's text": ("UPDATE policies SET text = ? WHERE state = 'in force'", (WIDE,)),
    "a policy's text and digest": (
        "UPDATE policies SET text = ?, digest = ? WHERE state = 'in force'",
        (WIDE, history.digest_of(WIDE)),
    ),
    "another policy in force": ("UPDATE policies SET state = 'in force' WHERE version = 1", ()),
    "a new version in force": (
        "INSERT INTO policies SELECT tenant, version + 9, digest, ?, author, created_ms, 'in force' FROM policies",
        (WIDE,),
    ),
    "a policy of a new tenant": ("UPDATE policies SET tenant = 'acme' WHERE version = 1", ()),
    "a higher role": ("UPDATE admins SET role = 'owner', tenant = '*'", ()),
    "a removed administrator": ("UPDATE admins SET state = 'active'", ()),
    "another certificate": ("UPDATE admins SET fingerprint = ?", ("00" * 32,)),
    "a later end": ("UPDATE admins SET not_after_ms = not_after_ms + 1", ()),
    "a resumed tenant": ("UPDATE tenants SET state = 'active'", ()),
    "a new tenant": ("INSERT INTO tenants VALUES ('evil', 'active', 0, '{}')", ()),
    "a lifted revocation": ("UPDATE revocations SET lifted_ms = 1", ()),
    "a deleted revocation": ("DELETE FROM revocations", ()),
    "another kind of value": ("UPDATE revocations SET value = CAST(value AS BLOB)", ()),
    "a lower floor": ("UPDATE model_floors SET min_version = 1", ()),
    "a deleted floor": ("DELETE FROM model_floors", ()),
    "a lower evaluation number": ("UPDATE seen_numbers SET number = 1", ()),
    "a deleted evaluation number": ("DELETE FROM seen_numbers", ()),
}


@pytest.fixture
def workspace(tmp_path):
    """A workspace in whose store every table has something to protect."""
    made = Workspace.create(tmp_path / "w", now=datetime.now(UTC))
    with opened_workspace(made) as found:

        def fill(tx):
            tenants.ensure_default(tx)
            tenants.create(tx, "quiet")
            tenants.suspend(tx, "quiet")
            history.put(tx, "default", NARROW + b"# one\n", "test")
            history.put(tx, "default", NARROW, "test")
            floors.raise_floor(tx, "default", "m", 4, "test")
            revocations.revoke(tx, kind="measurement", value=PROGRAM, author="test")
            tx.execute("INSERT INTO seen_numbers VALUES ('root', 'sgx', '00906ED50000', 17)")

        found.store.write(fill)
        ensure_owner_identity(made, found.store, found.ledger, now=datetime.now(UTC))
        found.store.write(lambda tx: tx.execute("UPDATE admins SET role = ?, state = 'removed'", (Role.AUDITOR.value,)))
    return made


def edit(workspace, statement, values=()):
    with closing(sqlite3.connect(workspace.folder / "broker.db")) as database, database:
        changed = database.execute(statement, values).rowcount
    assert changed > 0


def row(workspace, table):
    with closing(sqlite3.connect(workspace.folder / "broker.db")) as database:
        return database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608  # a table of ours


def put_back(workspace, table, rows):
    with closing(sqlite3.connect(workspace.folder / "broker.db")) as database, database:
        database.execute(f"DELETE FROM {table}")  # noqa: S608  # a table of ours
        marks = ", ".join("?" * len(rows[0]))
        database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608  # a table of ours


@pytest.mark.parametrize("statement", EDITS.values(), ids=EDITS.keys())
def test_kd_11_a_broker_does_not_start_on_an_edited_table(workspace, statement):
    edit(workspace, *statement)
    with pytest.raises(RowsChanged) as refusal, opened_workspace(workspace):
        pass
    assert refusal.value.code == "SR-STORE-ROWS"


@pytest.mark.parametrize("statement", EDITS.values(), ids=EDITS.keys())
def test_kd_11_a_running_broker_answers_from_what_was_vouched_for(workspace, statement):
    with opened_workspace(workspace) as found:
        before = seen(found.store)
        edit(workspace, *statement)
        assert seen(found.store) == before
        assert found.store.write(everything) == before
        with pytest.raises(RowsChanged):
            found.store.check()


@pytest.mark.parametrize("statement", EDITS.values(), ids=EDITS.keys())
def test_kd_11_a_change_does_not_launder_an_edit(workspace, statement):
    with opened_workspace(workspace) as found:
        edit(workspace, *statement)
        found.store.write(lambda tx: tenants.create(tx, "late"))
        with pytest.raises(RowsChanged):
            found.store.check()
    with pytest.raises(RowsChanged), opened_workspace(workspace):
        pass


def test_sa_12_old_rows_do_not_fit_a_newer_end(workspace):
    old = row(workspace, "revocations")
    with opened_workspace(workspace) as found:
        found.store.write(lambda tx: revocations.revoke(tx, kind="measurement", value="cd" * 32, author="test"))
    put_back(workspace, "revocations", old)
    with pytest.raises(RowsChanged, match="revocations"), opened_workspace(workspace):
        pass


def test_sa_12_old_rows_with_the_old_end_are_behind_the_lines(workspace):
    old = {table: row(workspace, table) for table in ("revocations", "ledger_head")}
    with opened_workspace(workspace) as found:
        record = {"kind": "admin", "action": "add_revocation"}
        found.store.write(
            lambda tx: (revocations.revoke(tx, kind="model", value="m", author="t"), found.ledger.append(tx, record))
        )
        for table, rows in old.items():
            put_back(workspace, table, rows)
        with pytest.raises(LedgerRolledBack):
            found.store.check()


def test_the_vouched_digests_cannot_be_edited(workspace):
    edit(workspace, "UPDATE ledger_head SET vouched = zeroblob(length(vouched))")
    with pytest.raises(HeadChanged), opened_workspace(workspace):
        pass


def test_the_vouched_digests_cannot_be_taken_away(workspace):
    edit(workspace, "UPDATE ledger_head SET vouched = ''")
    edit(workspace, "DELETE FROM revocations")
    with pytest.raises(HeadChanged), opened_workspace(workspace):
        pass


def test_a_new_ledger_does_not_begin_over_somebodys_rows(tmp_path):
    owner = Workspace.create(tmp_path / "w", now=datetime.now(UTC))
    with opened_workspace(owner):
        pass
    edit(owner, "DELETE FROM ledger_lines")
    edit(owner, "DELETE FROM ledger_head")
    edit(owner, "DELETE FROM secrets WHERE tenant = '_broker'")
    (owner.folder / "broker.db.head").unlink()
    edit(owner, "INSERT INTO policies VALUES ('default', 1, ?, ?, 'me', 0, 'in force')", ("0" * 64, WIDE))
    with pytest.raises(RowsChanged, match="no ledger"), opened_workspace(owner):
        pass


def test_changes_are_seen_by_the_next_broker_and_by_one_that_runs(workspace):
    with opened_workspace(workspace) as one, opened_workspace(workspace) as two:
        one.store.write(lambda tx: revocations.revoke(tx, kind="model", value="m", author="test"))
        assert seen(two.store) == seen(one.store)
        two.store.write(lambda tx: floors.raise_floor(tx, "default", "m", 7, "test"))
        assert one.store.read(lambda tx: floors.floor(tx, "default", "m")) == 7
        one.store.check()
    with opened_workspace(workspace) as three:
        assert three.store.read(lambda tx: floors.floor(tx, "default", "m")) == 7


def test_a_change_that_fails_leaves_what_was_vouched_for(workspace):
    with opened_workspace(workspace) as found:
        before = seen(found.store)

        def fails(tx):
            revocations.revoke(tx, kind="model", value="m", author="test")
            assert len(revocations.active(tx)) == 2
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            found.store.write(fails)
        with pytest.raises(Refused):
            found.store.write(lambda tx: floors.raise_floor(tx, "default", "m", 1, "test"))
        assert seen(found.store) == before
        found.store.check()


def test_a_change_and_its_line_are_sealed_together_whichever_comes_first(workspace):
    with opened_workspace(workspace) as found:
        record = {"kind": "admin", "action": "test"}
        found.store.write(lambda tx: (found.ledger.append(tx, record), tenants.create(tx, "first")))
        found.store.write(lambda tx: (tenants.create(tx, "second"), found.ledger.append(tx, record)))
        found.store.check()
        found.ledger.verify()
        futures = [found.store.submit(lambda tx, n=n: tenants.create(tx, f"t{n}")) for n in range(20)]
        futures += [found.store.submit(lambda tx: found.ledger.append(tx, record)) for _ in range(20)]
        for each in futures:
            each.result(60)
        found.store.check()
        found.ledger.verify()
        assert len(found.store.read(tenants.all_tenants)) == 24


def test_an_earlier_releases_store_is_taken_as_it_is_and_the_log_says_so(workspace, caplog):
    with opened_workspace(workspace) as found:
        seal = Seal(found.keyring.signing_key())
        base = found.keyring.store
        end = base.read(lambda tx: found.ledger._end())
        end.vouched = b""
        base.write(lambda tx: tx.execute("UPDATE ledger_head SET vouched = '', seal = ?", (seal.over(end),)))
        VouchedStore(base, seal).check()
        assert "were not vouched for before" in caplog.text
        VouchedStore(base, seal)
        assert caplog.text.count("not vouched for") == 1


def test_statements_that_touch_a_table_are_known_by_their_words():
    assert touched("SELECT a FROM tenants WHERE name = ?") == (("tenants",), False)
    assert touched(" UPDATE admins SET a = 1") == (("admins",), True)
    assert touched("DELETE FROM revocations") == (("revocations",), True)
    assert touched("INSERT INTO policies (tenant) VALUES (?)") == (("policies",), True)
    assert touched("SELECT secret FROM leases WHERE tenant = 'tenants'") == ((), False)
    assert set(TABLES) == {name for table in TABLES for name in touched(f"DELETE FROM {table}")[0]}  # noqa: S608  # never run


def test_the_ledger_alone_keeps_what_is_vouched_for(workspace):
    with opened_workspace(workspace) as found:
        other = Ledger(found.keyring.store, found.keyring.signing_key())
        found.keyring.store.write(lambda tx: other.append(tx, {"kind": "key", "action": "test"}))
        found.store.check()


def everything(tx):
    return (
        tenants.all_tenants(tx), history.versions(tx, "default"), floors.floors(tx), revocations.active(tx),
        tx.execute("SELECT * FROM admins ORDER BY fingerprint"), tx.execute("SELECT * FROM seen_numbers"),
        leases.counts(tx), revocations.active(tx, EVERY_TENANT),
    )  # fmt: skip


def seen(store):
    return store.read(everything)
