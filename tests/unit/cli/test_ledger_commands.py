"""The `ledger` commands: on a file of an earlier release, and on a workspace with a store."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker.ledger import chain
from strongroom.broker.ledger.file import head_path
from strongroom.broker.ledger.records import decision_record
from strongroom.broker.opening import opened_workspace
from strongroom.broker.release import Denial, DenialReason
from strongroom.cli import main
from strongroom.cli.ledger_show import since
from strongroom.pki import signing
from strongroom.workspace import Workspace

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
REASON = DenialReason(
    code="POLICY_MRENCLAVE", rule="my rule", word="mrenclave", observed="ee" * 32, expected="e1" * 32, fix="Rebuild."
)


def denial(number, **fields):
    return decision_record(Denial((REASON,)), None, correlation=f"case{number}", peer="192.0.2.1:5",
                           protocol="gramine-v1", tls="TLSv1.2", **fields)  # fmt: skip


@pytest.fixture
def path(tmp_path):
    """The ledger of an earlier release, as its broker left it."""
    records = [{"kind": "genesis", "version": 1, "salt": "00" * 16}, {"kind": "policy", "rules": 1, "digest": "d" * 64}]
    head, lines = chain.EMPTY, b""
    for record in [*records, *(denial(number) for number in range(3))]:
        line, head = chain.write_line(head, record, at=AT)
        lines += line
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(lines)
    head_path(path).write_text(head.to_text())
    return path


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
    assert "[SR-LEDGER-HEAD]" in run("verify", status=3).err
    assert "whole" in run("verify", "--head", head).out


def test_verify_finds_a_changed_line(path, run):
    path.write_bytes(path.read_bytes().replace(b"case1", b"case9"))
    assert "[SR-LEDGER-EDITED]" in run("verify", status=3).err


def test_verify_finds_a_torn_line(path, run):
    path.write_bytes(path.read_bytes() + b"{")
    assert "[SR-LEDGER-TORN]" in run("verify", status=3).err


@pytest.mark.parametrize("head", ["4", "4:abc", "x:" + "a" * 64, "9" * 30 + ":" + "a" * 64])
def test_a_head_that_is_none_is_misuse(run, head):
    assert "[SR-MISUSE]" in run("verify", "--head", head, status=1).err


@pytest.mark.parametrize(
    ("head", "code"),
    [("4:" + "a" * 64, "EDITED"), ("4:" + "g" * 64, "HEAD"), ("99:" + "a" * 64, "TRUNCATED")],
)
def test_another_head_is_not_in_this_ledger(run, head, code):
    assert f"[SR-LEDGER-{code}]" in run("verify", "--head", head, status=3).err


def test_a_missing_ledger_is_a_missing_file(tmp_path, capsys):
    assert main(["ledger", "verify", "--file", str(tmp_path / "none")]) == 2
    assert "[SR-FILE]" in capsys.readouterr().err


@pytest.fixture
def owner(tmp_path):
    """A workspace whose broker made two refusals for each of two tenants."""
    owner = Workspace.create(tmp_path / "owner", now=datetime.now(UTC))
    with_ledger(owner, lambda store, ledger: store.write(lambda tx: [
        ledger.append(tx, record) for record in (
            {"kind": "policy", "digest": "d" * 64}, denial(0), denial(1, tenant="other"),
            denial(2), denial(3, tenant="other"), {"kind": "admin", "action": "put_key", "tenant": "other"},
        )
    ]))  # fmt: skip
    return owner


def with_ledger(owner, action):
    with opened_workspace(owner) as found:
        action(found.store, found.ledger)


@pytest.fixture
def at(owner, capsys):
    """Run a ledger command on the workspace."""

    def call(*words, status=0):
        assert main(["ledger", *map(str, words), "--workspace", str(owner.folder)]) == status
        return capsys.readouterr()

    return call


def shown(at, *words):
    return [
        entry.get("id") or entry["kind"] for entry in map(json.loads, at("show", "--json", *words).out.splitlines())
    ]


def test_show_reads_the_store(at):
    lines = at("show").out.splitlines()
    assert "genesis" in lines[0]
    assert lines[1].endswith("root  over 1 lines, signed")
    assert any("DENIED of other to 192.0.2.1:5 [case1]" in line for line in lines)
    assert "salt" not in "".join(lines)


def test_show_picks_what_is_asked_for(at):
    assert shown(at) == ["genesis", "root", "policy", "case0", "case1", "case2", "case3", "admin"]
    assert shown(at, "--denied") == ["case0", "case1", "case2", "case3"]
    assert shown(at, "--tenant", "other") == ["case1", "case3", "admin"]
    assert shown(at, "--tenant", "default", "--last", "1") == ["case2"]
    assert shown(at, "--kind", "policy", "--kind", "admin") == ["policy", "admin"]
    assert len(shown(at, "--since", "1h")) == 8
    assert shown(at, "--since", "2999-01-01") == []


def test_an_age_or_a_time_is_taken_as_utc():
    assert since("2026-03-04") == "2026-03-04T00:00:00.000Z"
    assert since("2026-03-04T05:06:07+02:00") == "2026-03-04T03:06:07.000Z"
    assert abs(datetime.fromisoformat(since("90m")) - (datetime.now(UTC) - timedelta(minutes=90))) < timedelta(
        minutes=1
    )


@pytest.mark.parametrize("text", ["yesterday", "", "h", "5w", "9999999d", "99999999999d", "0001-01-01T00:00+05:00"])
def test_a_time_that_is_none_is_misuse(at, text):
    assert "[SR-MISUSE]" in at("show", "--since", text, status=1).err


def test_verify_checks_the_store_with_its_own_key(at):
    out = at("verify").out
    assert "8 lines, whole" in out
    assert "signed roots: 1, their signatures hold" in out
    found = json.loads(at("verify", "--json").out)
    assert (found["lines"], found["signed_roots"], found["signatures_checked"]) == (8, 1, True)
    assert "whole" in at("verify", "--head", found["head"]).out


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("DELETE FROM ledger_lines WHERE seq = 4", "SR-LEDGER-REMOVED"),
        ("DELETE FROM ledger_lines WHERE seq = 7", "SR-LEDGER-TRUNCATED"),
        ("UPDATE ledger_lines SET line = x'7b7d' WHERE seq = 4", "SR-LEDGER-BROKEN"),
        ("UPDATE ledger_lines SET seq = CASE seq WHEN 3 THEN -4 ELSE seq END", "SR-LEDGER-REMOVED"),
        ("UPDATE ledger_head SET seq = 6", "SR-LEDGER-HEAD"),
        ("DELETE FROM ledger_roots", "SR-LEDGER-ROOT"),
        ("DELETE FROM ledger_lines WHERE seq = 0", "SR-LEDGER-REMOVED"),
        ("DELETE FROM ledger_lines", "SR-LEDGER-TRUNCATED"),
        ("DROP TABLE ledger_lines", "SR-STORE-DAMAGED"),
        ("UPDATE meta SET value = 'x' WHERE name = 'schema'", "SR-STORE-DAMAGED"),
    ],
)
def test_sa_10_verify_names_what_was_done_to_the_store(at, owner, sql, code):
    connection = sqlite3.connect(owner.folder / "broker.db")
    connection.execute(sql)
    connection.commit()
    connection.close()
    assert f"[{code}]" in at("verify", status=3).err


def test_sa_12_verify_says_what_it_misses_beside_the_store(at, owner):
    head_file = owner.folder / "broker.db.head"
    head_file.write_text("no checkpoint")
    assert f"{head_file}: this is not a checkpoint of a ledger" in at("verify", status=3).err
    head_file.unlink()
    found = at("verify")
    assert "whole" in found.out
    assert f"note: {head_file} is not there, so whether this is the newest copy" in found.err


def test_sa_12_a_store_that_was_removed_is_no_new_one(at, owner):
    (owner.folder / "broker.db").unlink()
    said = at("verify", status=3).err
    assert "[SR-LEDGER-HEAD]" in said
    assert "the store was removed" in said
    assert "[SR-LEDGER-HEAD]" in at("show", status=3).err


def test_a_proof_goes_to_an_outsider_who_needs_the_public_key_alone(at, tmp_path, capsys):
    proof, key = tmp_path / "case2.proof", tmp_path / "ledger.pem"
    at("prove", "--case", "case2", "--out", proof)
    assert key.name in at("export", "--public-key", key).out

    def outsider(*words, status=0):
        assert main(["ledger", "verify", "--proof", str(proof), *map(str, words)]) == status
        return capsys.readouterr()

    out = outsider("--key", key).out
    assert out.startswith("line 5 is in the ledger of 8 lines")
    assert "[case2]" in out
    assert json.loads(outsider("--key", key, "--json").out)["entry"]["id"] == "case2"
    assert "[SR-MISUSE]" in outsider(status=1).err
    wrong = tmp_path / "wrong.pem"
    wrong.write_bytes(signing.public_pem(Ed25519PrivateKey.generate().public_key()))
    assert "[SR-LEDGER-CHECKPOINT]" in outsider("--key", wrong, status=3).err
    proof.write_text(proof.read_text().replace("case2", "case9"))
    assert "[SR-LEDGER-PROOF]" in outsider("--key", key, status=3).err
    assert "[SR-LEDGER-NO-LINE]" in at("prove", "--line", "99", "--out", tmp_path / "x", status=2).err
    assert "[SR-ALREADY-THERE]" in at("prove", "--line", "3", "--out", proof, status=2).err


def test_an_export_is_checked_elsewhere(at, tmp_path, capsys):
    copy, key = tmp_path / "copy.jsonl", tmp_path / "ledger.pem"
    at("export", "--out", copy, "--public-key", key)
    words = ["ledger", "verify", "--file", str(copy), "--checkpoint", f"{copy}.checkpoint"]
    assert main([*words, "--key", str(key)]) == 0
    assert "signed roots: 2, their signatures hold" in capsys.readouterr().out
    assert main(words) == 0
    assert "NOT checked" in capsys.readouterr().out
    assert "shares 9 lines" in at("verify", "--other", copy).out
    assert json.loads(at("verify", "--other", copy, "--json").out)["shared_lines"] == 9
    text = copy.read_bytes()
    copy.write_bytes(text.replace(b"case3", b"case4"))
    assert "[SR-LEDGER-FORKED]" in at("verify", "--other", copy, status=3).err
    copy.write_bytes(b"".join(text.splitlines(keepends=True)[:5]))
    assert main([*words, "--key", str(key)]) == 3
    assert "[SR-LEDGER-TRUNCATED]" in capsys.readouterr().err
    assert "[SR-MISUSE]" in at("export", status=1).err


def test_sa_12_a_witness_signs_what_only_grew_and_refuses_what_did_not(at, owner, tmp_path, capsys):
    seen, key, copy = tmp_path / "seen", tmp_path / "witness.pem", tmp_path / "copy.jsonl"
    private = Ed25519PrivateKey.generate()
    with signing.signer_pem(private).reveal() as raw:
        key.write_bytes(raw)
    key.chmod(0o600)
    public = tmp_path / "ledger.pem"
    at("export", "--out", copy, "--public-key", public)
    by_copy = ["ledger", "witness", "--file", str(copy), "--out", str(tmp_path / "by-copy")]
    assert main([*by_copy, "--key", str(public)]) == 0
    assert main(by_copy) == 1
    capsys.readouterr()
    at("witness", "--out", seen, "--witness-key", key, "--name", "w.example")
    assert "w.example" in seen.read_text()
    with_ledger(owner, lambda store, ledger: store.write(lambda tx: ledger.append(tx, denial(9))))
    assert "2 more than before" in at("witness", "--out", seen, "--witness-key", key).out
    assert "whole" in at("verify", "--checkpoint", seen).out
    assert main(["ledger", "verify", "--file", str(copy), "--checkpoint", str(seen)]) == 3
    assert "[SR-LEDGER-TRUNCATED]" in capsys.readouterr().err
    (tmp_path / "by-copy").write_text(seen.read_text())
    assert main([*by_copy, "--key", str(public)]) == 3
    for file in owner.folder.glob("broker.db*"):
        file.unlink()
    assert "[SR-LEDGER-REWRITTEN]" in at("witness", "--out", seen, status=3).err
