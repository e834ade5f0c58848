"""broker backup, restore and migrate, as a person and as a program read them."""

import json
from datetime import UTC, datetime

import pytest

from strongroom.broker.store.opening import open_store
from strongroom.cli import main
from strongroom.workspace import Workspace


@pytest.fixture
def owner(tmp_path):
    workspace = Workspace.create(tmp_path / "workspace", now=datetime.now(UTC))
    store = open_store(workspace.folder / "broker.db")
    store.write(
        lambda tx: tx.execute("INSERT INTO tenants (name, state, created_ms, settings) VALUES ('t', '', 0, '')")
    )
    store.close()
    return workspace


def rows(location):
    store = open_store(location)
    found = store.read(lambda tx: tx.execute("SELECT name FROM tenants"))
    store.close()
    return found


def test_a_backup_is_written_checked_and_restored(owner, tmp_path, capsys):
    words, out = ["--workspace", str(owner.folder)], str(tmp_path / "backup")
    assert main(["broker", "backup", "--out", out, *words]) == 0
    assert capsys.readouterr().out == f"{out}: 1 rows, no ledger yet\n"
    assert main(["broker", "backup", "--out", out, *words]) == 2
    assert "SR-ALREADY-THERE" in capsys.readouterr().err
    assert main(["broker", "restore", out, *words]) == 3
    assert "SR-STORE-NOT-EMPTY" in capsys.readouterr().err
    assert main(["broker", "restore", "--check", "--json", out, *words]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["tenants"] == 1
    (owner.folder / "broker.db").unlink()
    assert main(["broker", "restore", out, *words]) == 0
    assert capsys.readouterr().out == f"{out} is restored: 1 rows, no ledger yet\n"
    assert rows(owner.folder / "broker.db") == [("t",)]


def test_what_is_no_backup_is_told(owner, tmp_path, capsys):
    (tmp_path / "x").touch(mode=0o600)
    assert main(["broker", "restore", str(tmp_path / "x"), "--workspace", str(owner.folder)]) == 3
    assert "SR-BACKUP-DAMAGED" in capsys.readouterr().err
    assert main(["broker", "restore", str(tmp_path / "none"), "--workspace", str(owner.folder)]) == 2


def test_a_store_is_moved_after_a_look(owner, postgres, capsys):
    words = ["broker", "migrate", "--to", postgres.url, "--workspace", str(owner.folder)]
    assert main([*words, "--check"]) == 0
    assert "would be moved" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["tenants"] == 1
    assert rows(postgres.url) == [("t",)]
    assert main(words) == 3
    assert "SR-STORE-MOVED" in capsys.readouterr().err


def test_a_store_that_is_a_database_already_stays_there(owner, postgres, capsys):
    settings = owner.folder / "strongroom.toml"
    settings.write_text(settings.read_text().replace("[broker]\n", f'[broker]\nstore = "{postgres.url}"\n'))
    assert main(["broker", "migrate", "--to", postgres.url, "--workspace", str(owner.folder)]) == 2
    assert "SR-STORE-ADDRESS" in capsys.readouterr().err
