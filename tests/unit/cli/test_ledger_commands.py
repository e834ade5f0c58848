"""`ledger show` and `ledger verify`."""

import json
from datetime import UTC, datetime

import pytest

from strongroom.broker.ledger.file import Ledger, head_path
from strongroom.broker.ledger.records import decision_record
from strongroom.broker.release import Denial, DenialReason
from strongroom.cli import main

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
REASON = DenialReason(
    code="POLICY_MRENCLAVE", rule="my rule", word="mrenclave", observed="ee" * 32, expected="e1" * 32, fix="Rebuild."
)


@pytest.fixture
def path(tmp_path):
    with Ledger(tmp_path / "ledger.jsonl") as book:
        book.append({"kind": "policy", "rules": 1, "digest": "d" * 64, "problem": None}, at=AT)
        for number in range(3):
            record = decision_record(Denial((REASON,)), None, correlation=f"case{number}", peer="192.0.2.1:5",
                                     protocol="gramine-v1", tls="TLSv1.2")  # fmt: skip
            book.append(record, at=AT)
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def run(path, capsys):
    def call(*words, status=0):
        assert main(["ledger", *words, "--file", str(path)]) == status
        return capsys.readouterr()

    return call


def test_show_prints_rule_observed_expected_and_fix(run):
    out = run("show").out
    wanted = [
        "DENIED to 192.0.2.1:5 [case0]",
        'POLICY_MRENCLAVE: rule "my rule", mrenclave',
        "observed  " + "ee" * 32,
        "expected  " + "e1" * 32,
        "fix       Rebuild.",
        "2026-03-04T05:06:07.000Z",
        "policy",
    ]
    assert [words for words in wanted if words not in out] == []
    assert "salt" not in out


def test_show_prints_the_last_entries_as_json(run):
    lines = run("show", "--last", "2", "--json").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["case1", "case2"]


def test_show_keeps_a_terminal_safe(path, run, capsys):
    line = json.dumps({"seq": 0, "time": "t", "prev": "p", "kind": "decision", "peer": "\x1b[2J\n", "reasons": ["odd"]})
    path.write_text(line + "\n")
    out = run("show").out
    assert "\x1b" not in out
    assert out.count("\n") == 1


def test_show_says_that_there_is_nothing_yet(tmp_path, capsys):
    assert main(["ledger", "show", "--file", str(tmp_path / "none")]) == 0
    assert "no decision" in capsys.readouterr().err


def test_verify_prints_a_head_that_can_be_kept(path, run):
    head = json.loads(run("verify", "--json").out)["head"]
    assert head.startswith("4:")
    assert f"5 lines, whole\nhead {head}" in run("verify").out
    head_path(path).unlink()
    assert "[SR-LEDGER-BROKEN]" in run("verify", status=3).err
    assert "whole" in run("verify", "--head", head).out


def test_verify_finds_a_changed_line(path, run):
    path.write_bytes(path.read_bytes().replace(b"case1", b"case9"))
    err = run("verify", status=3).err
    assert "[SR-LEDGER-BROKEN]" in err


def test_verify_finds_a_torn_line(path, run):
    path.write_bytes(path.read_bytes() + b"{")
    assert "[SR-LEDGER-TORN]" in run("verify", status=3).err


@pytest.mark.parametrize("head", ["4", "4:abc", "x:" + "a" * 64, "9" * 30 + ":" + "a" * 64])
def test_a_head_that_is_none_is_misuse(run, head):
    assert "[SR-MISUSE]" in run("verify", "--head", head, status=1).err


@pytest.mark.parametrize("head", ["4:" + "a" * 64, "4:" + "g" * 64, "99:" + "a" * 64])
def test_another_head_is_not_in_this_ledger(run, head):
    assert "[SR-LEDGER-BROKEN]" in run("verify", "--head", head, status=3).err


def test_a_missing_ledger_is_a_missing_file(tmp_path, capsys):
    assert main(["ledger", "verify", "--file", str(tmp_path / "none")]) == 2
    assert "[SR-FILE]" in capsys.readouterr().err
