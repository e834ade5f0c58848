"""The doctor finds what is wrong with a set-up, part by part, and says what to do."""

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.broker.keyring.passphrase_root import PassphraseNeeded
from strongroom.broker.opening import opened_workspace
from strongroom.broker.operations.doctor import Level, examine, worst
from strongroom.cli import main
from strongroom.platforms.simulated import World
from strongroom.secret import Secret
from strongroom.workspace import BrokerSettings, Settings, Workspace

NOW = datetime.now(UTC)
RULE = """version = 1
[[rule]]
name = "a model"
mrenclave = "{mrenclave}"
trust_domains = ["simulated"]
release = "model/m/1"
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor") / "world"
    return folder, World.create(folder, now=NOW - timedelta(days=1))


@pytest.fixture
def owner(tmp_path):
    return Workspace.create(tmp_path / "ws", now=NOW)


@pytest.fixture
def complete(owner, world):
    """A workspace in which everything is there and works."""
    folder, made = world
    (owner.anchors_folder / "simulated.der").write_bytes(made.root_der)
    assert main(["sim", "collateral", "--world", str(folder), "--out", str(owner.folder / "trust")]) == 0
    owner.secrets.put("model/m/1", Secret(bytes(range(16))))
    owner.policy_path.write_text(RULE.format(mrenclave="e1" * 32))
    with opened_workspace(owner):
        pass
    return owner


def found(owner, after=timedelta(0), **named):
    """Ask for findings now, which may be long after this module was imported, or some time before or after."""
    return list(examine(owner.folder, at=datetime.now(UTC) + after, **named))


def of(findings, part, level):
    return [finding for finding in findings if finding.part == part and finding.level is level]


def test_a_complete_setup_has_nothing_that_fails(complete):
    findings = found(complete)
    assert [finding for finding in findings if finding.level is Level.FAIL] == []
    assert worst(findings) is Level.WARN  # no broker runs, and the root key lies in a file
    assert {finding.part for finding in findings if finding.level is Level.WARN} <= {"root key", "broker", "policy"}
    assert of(findings, "secrets", Level.OK)[0].says.startswith("1 open")
    assert all(finding.fix for finding in findings if finding.level is not Level.OK)
    assert len(of(findings, "collateral", Level.OK)) >= 4


def test_a_folder_that_is_no_workspace_is_the_only_finding(tmp_path):
    (only,) = examine(tmp_path, at=NOW)
    assert (only.part, only.level) == ("workspace", Level.FAIL)
    assert "SR-NOT-A-WORKSPACE" in only.says


def test_certificates_that_end_are_told_before_and_after(owner):
    (soon,) = of(found(owner, timedelta(days=70)), "certificates", Level.WARN)
    assert "the broker" in soon.says
    (over,) = of(found(owner, timedelta(days=100)), "certificates", Level.FAIL)
    assert "ended" in over.says


def test_sa_15_a_clock_that_is_behind_is_told_by_certificates_and_ledger(complete):
    findings = found(complete, -timedelta(days=2))
    assert "is this clock right?" in of(findings, "certificates", Level.FAIL)[0].says
    assert "ledger's last line" in of(findings, "clock", Level.FAIL)[0].says


def test_tcb_14_collateral_that_ended_fails(complete):
    late = of(found(complete, timedelta(days=40)), "collateral", Level.FAIL)
    assert late
    assert all("ended" in finding.says and finding.fix for finding in late)


def test_without_collateral_nothing_can_be_judged(owner):
    assert "no quote can be judged" in of(found(owner), "collateral", Level.WARN)[0].says


def test_sa_10_a_ledger_that_was_changed_fails(complete):
    with closing(sqlite3.connect(complete.folder / "broker.db")) as database, database:
        database.execute("UPDATE ledger_lines SET line = replace(line, 'genesis', 'Genesis') WHERE seq = 0")
    failed = [finding for finding in found(complete) if finding.level is Level.FAIL]
    assert any("SR-LEDGER" in finding.says for finding in failed)


def test_a_store_that_is_no_store_fails_alone(complete):
    for path in complete.folder.glob("broker.db*"):
        path.unlink()
    (complete.folder / "broker.db").write_bytes(b"not a database, but of its length" * 40)
    (complete.folder / "broker.db").chmod(0o600)
    findings = found(complete)
    assert of(findings, "store", Level.FAIL)
    assert of(findings, "certificates", Level.OK)


def test_a_root_key_that_is_gone_fails_with_a_fix(complete):
    shutil.rmtree(complete.folder / "root")
    (failed,) = of(found(complete), "store", Level.FAIL)
    assert "SR-ROOT-MISSING" in failed.says
    assert "recover" in failed.fix


def test_a_rule_for_a_secret_that_is_not_there_is_told(complete):
    text = complete.policy_path.read_text()
    complete.policy_path.write_text(text.replace("model/m/1", "model/m/2"))
    assert any("which is not there" in finding.says for finding in of(found(complete), "policy", Level.WARN))


def test_a_policy_that_cannot_be_enforced_fails(complete):
    complete.policy_path.write_text("version = 1\nrules = 3\n")
    assert any("SR-POLICY-FILE" in finding.says for finding in found(complete) if finding.level is Level.FAIL)


def test_what_a_rule_weakens_is_told(complete):
    told = of(found(complete), "policy", Level.WARN)
    assert any("simulated" in finding.says.lower() for finding in told)


def test_key_files_that_wait_are_told(owner):
    owner.secrets.put("model/m/1", Secret(bytes(range(16))))
    assert "model/m/1" in of(found(owner), "key files", Level.WARN)[0].says


def test_a_passphrase_that_was_not_given_is_asked_for(tmp_path):
    settings = Settings(broker=BrokerSettings(root="passphrase"))
    owner = Workspace.create(tmp_path / "ws", now=NOW, settings=settings)
    (owner.folder / "strongroom.toml").write_text('version = 1\n[broker]\nroot = "passphrase"\n')
    owner = Workspace.open(owner.folder)
    with opened_workspace(owner, passphrase=Secret(b"a long enough passphrase of words")):
        pass
    with pytest.raises(PassphraseNeeded):
        found(owner)
    good = found(owner, passphrase=Secret(b"a long enough passphrase of words"))
    assert of(good, "root key", Level.OK)
    assert not of(good, "root key", Level.WARN)


def test_the_command_prints_findings_and_its_status_says_whether_something_fails(complete, capsys):
    assert main(["doctor", "--workspace", str(complete.folder)]) == 0
    assert "ok    ledger" in capsys.readouterr().out
    complete.policy_path.write_text("version = 7\n")
    assert main(["doctor", "--workspace", str(complete.folder), "--json"]) == 2
    captured = capsys.readouterr()
    assert "SR-DOCTOR" in captured.err
    levels = {finding["level"] for finding in json.loads(captured.out)["findings"]}
    assert levels == {"ok", "warn", "fail"}
