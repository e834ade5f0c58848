"""The ledger's commands as whole processes: one follows another, and the power goes while an old file is taken in."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from strongroom.broker.ledger import chain
from strongroom.broker.ledger.file import head_path
from strongroom.broker.opening import opened_workspace
from strongroom.workspace import Workspace

PROGRAM = [sys.executable, "-m", "strongroom"]
# Take the old ledger in as a start of the broker does, but lose power at the given step.
CRASH = """
import os, sys
from functools import partial
from pathlib import Path
from strongroom.broker.ledger import tables, transfer
from strongroom.broker.opening import opened_workspace
from strongroom.workspace import Workspace

def lose_power(*_):
    os._exit(9)

owner, step = Workspace.open(Path(sys.argv[1])), sys.argv[2]
if step == "within the transaction":
    tables.write_end = lose_power
elif step == "before the file is renamed":
    transfer._set_aside = lose_power
else:
    Path.rename = lose_power if step == "at the first rename" else Path.rename
with opened_workspace(owner):
    pass
"""


@pytest.fixture
def owner(tmp_path):
    return Workspace.create(tmp_path / "owner", now=datetime.now(UTC))


def append(owner, *records):
    with opened_workspace(owner) as found:
        found.store.write(lambda tx: [found.ledger.append(tx, record) for record in records])


def command(owner, *words):
    return subprocess.run(
        [*PROGRAM, "ledger", *words, "--workspace", owner.folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def write_old(path, count):
    records = [{"kind": "genesis", "version": 1, "salt": "00" * 16}]
    records += [{"kind": "decision", "id": f"case{number}"} for number in range(count)]
    head, lines = chain.EMPTY, b""
    for record in records:
        line, head = chain.write_line(head, record, at=datetime(2026, 3, 4, tzinfo=UTC))
        lines += line
    path.write_bytes(lines)
    head_path(path).write_text(head.to_text())


def test_show_follows_what_another_process_writes(owner):
    append(owner, {"kind": "decision", "id": "first"})
    words = [*PROGRAM, "ledger", "show", "--follow", "--json", "--kind", "decision", "--workspace", str(owner.folder)]
    heeding = ["env", "--default-signal=INT"]  # a shell's background jobs are started deaf to it
    follower = subprocess.Popen([*heeding, *words], stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(follower.stdout.readline())["id"] == "first"
        append(owner, {"kind": "decision", "id": "second"}, {"kind": "admin"}, {"kind": "decision", "id": "third"})
        assert [json.loads(follower.stdout.readline())["id"] for _ in range(2)] == ["second", "third"]
        follower.send_signal(signal.SIGINT)
        follower.wait(timeout=20)
    finally:
        follower.kill()
        follower.wait()
        follower.stdout.close()


@pytest.mark.parametrize(
    "step", ["within the transaction", "before the file is renamed", "at the first rename", "at no time"]
)
def test_an_old_ledger_is_taken_in_whole_whenever_the_power_goes(owner, step):
    write_old(owner.ledger_path, 2000)
    old = owner.ledger_path.read_bytes()
    assert "whole" in command(owner, "verify").stdout
    crashed = subprocess.run([sys.executable, "-c", CRASH, owner.folder, step], check=False, timeout=60)
    assert crashed.returncode == (0 if step == "at no time" else 9)
    append(owner, {"kind": "decision", "id": "new"})
    done = command(owner, "verify", "--json")
    assert (done.returncode, json.loads(done.stdout)["lines"]) == (0, 2003), done.stderr
    assert not owner.ledger_path.exists()
    assert (owner.folder / "broker.db.head").exists()
    assert owner.ledger_path.with_name("ledger.jsonl.imported").read_bytes() == old
    lines = command(owner, "show", "--json").stdout.splitlines()
    assert [json.loads(line).get("id") for line in lines[-3:]] == ["case1999", None, "new"]


def test_an_outsider_without_a_workspace_checks_a_proof(owner, tmp_path):
    append(owner, *({"kind": "decision", "id": f"case{number}", "decision": "granted"} for number in range(50)))
    assert command(owner, "export", "--public-key", tmp_path / "ledger.pem").returncode == 0
    assert command(owner, "prove", "--case", "case7", "--out", tmp_path / "proof").returncode == 0
    place = tmp_path / "elsewhere"
    place.mkdir()
    words = [*PROGRAM, "ledger", "verify", "--proof", tmp_path / "proof", "--key", tmp_path / "ledger.pem"]
    done = subprocess.run(words, cwd=place, env=os.environ | {"HOME": str(place)}, capture_output=True, text=True,
                          check=True, timeout=60)  # fmt: skip
    assert "line 9 is in the ledger of 52 lines" in done.stdout
    assert list(place.iterdir()) == []
