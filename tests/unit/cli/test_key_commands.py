"""The `key` verbs, as typed: on the workspace's store, with its ledger, and never a value on the screen."""

import io
import json
import os
import pty
import stat
import subprocess
import sys

import pytest

from strongroom.broker.keyring import passphrase_root
from strongroom.broker.keyring.passphrase_root import ScryptCost
from strongroom.cli import main, passphrase
from strongroom.secret import Secret

CANARY = bytes(range(200, 232))
PASSPHRASE = "correct horse battery staple"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every command runs in an empty folder; scrypt at its least cost."""
    monkeypatch.chdir(tmp_path)
    cheap = ScryptCost(n=2**14)
    monkeypatch.setattr(passphrase_root, "ScryptCost", lambda *values: ScryptCost(*values) if values else cheap)
    main(["init"])
    return tmp_path


@pytest.fixture
def run(capsys):
    """Runs a command line; returns what it printed: both streams after a failure, the result otherwise."""
    capsys.readouterr()

    def command(line, status=0):
        assert main(line.split()) == status
        captured = capsys.readouterr()
        return captured.out if status == 0 else captured.err

    return command


@pytest.fixture
def secret_file(here):
    def write(name, content, mode=0o600):
        (here / name).write_bytes(content)
        (here / name).chmod(mode)
        return name

    return write


def ledger(run):
    return [json.loads(line) for line in run("ledger show --json").splitlines()]


def test_a_list_says_all_but_the_value(run, secret_file, here):
    secret_file("k", CANARY)
    run("key put secret/canary --from k")
    run("key create model/m/1")
    run("key rotate secret/canary")
    listed = json.loads(run("key list --json"))
    assert [(each["name"], each["version"], each["kind"], each["state"], each["bytes"]) for each in listed] == [
        ("model/m/1", 1, "model", "active", 16),
        ("secret/canary", 1, "secret", "carried", 32),
        ("secret/canary", 2, "secret", "active", 32),
    ]
    table = run("key list")
    assert "secret/canary" in table
    assert "carried" in table
    for shown in (table, json.dumps(listed)):
        assert CANARY.hex() not in shown
        assert "wrapped" not in shown
    assert json.loads(run("key list --tenant acme --json")) == []


def test_a_list_needs_no_root_key_and_says_what_waits(run, secret_file, here, capsys):
    run("key create secret/a")
    (here / "strongroom-workspace/root/root.key").unlink()
    secret_file("k", CANARY[:16])
    (here / "strongroom-workspace/keys/secret").mkdir(mode=0o700)
    (here / "k").rename(here / "strongroom-workspace/keys/secret/late")
    assert main(["key", "list"]) == 0
    captured = capsys.readouterr()
    assert "secret/a" in captured.out
    assert "waiting in keys/ to be taken into the store: secret/late" in captured.err


def test_an_exported_key_opens_what_was_published(run, here):
    run("key create secret/a")
    said = run("key export secret/a --out a.key")
    assert stat.S_IMODE((here / "a.key").stat().st_mode) == 0o600
    assert (here / "a.key").read_bytes().hex() not in said
    assert "[SR-ALREADY-THERE]" in run("key export secret/a --out a.key", status=2)
    assert "[SR-UNKNOWN-SECRET]" in run("key export secret/absent --out b.key", status=2)
    assert not (here / "b.key").exists()
    run("key rotate secret/a")
    run("key export secret/a --version 1 --out one.key")
    assert (here / "one.key").read_bytes() == (here / "a.key").read_bytes()
    run("key export secret/a --out two.key --json")
    assert (here / "two.key").read_bytes() != (here / "a.key").read_bytes()
    assert [entry["action"] for entry in ledger(run) if entry["kind"] == "key"] == ["export"] * 3


def test_put_reads_standard_input_and_refuses_loose_files(run, secret_file, monkeypatch):
    secret_file("loose", CANARY, 0o644)
    assert "[SR-LOOSE-PERMISSIONS]" in run("key put secret/a --from loose", status=3)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CANARY)))
    assert "32 bytes" in run("key put secret/a --from -")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(70_000))))
    assert "[SR-FILE-TOO-LONG]" in run("key put secret/a --from -", status=2)


@pytest.mark.parametrize("weak", ["dda09c7c52359c9bc4e51982b97dd7fe", "00" * 16, "ff" * 16])
def test_kd_02_a_weak_key_is_not_put(run, secret_file, weak):
    secret_file("k", bytes.fromhex(weak))
    for name in ("model/m/1", "secret/s"):
        assert "[SR-WEAK-KEY]" in run(f"key put {name} --from k", status=3)
    assert json.loads(run("key list --json")) == []


def test_what_is_retired_and_destroyed(run):
    run("key create secret/a")
    run("key rotate secret/a")
    assert run("key retire secret/a --version 1") == "secret/a is retired: version 1\n"
    assert "[SR-MISUSE]" in run("key destroy secret/a", status=1)
    assert run("key destroy secret/a --yes") == "secret/a is destroyed: version 1, 2\n"
    assert {each["state"] for each in json.loads(run("key list --json"))} == {"destroyed"}
    for line in ("key retire secret/a", "key destroy secret/a --yes", "key rotate secret/a"):
        run(line, status=2)
    assert [entry["action"] for entry in ledger(run) if entry["kind"] == "admin"] == [
        "create_key", "rotate_key", "retire_key", "destroy_key", "destroy_key"
    ]  # fmt: skip


def test_a_tenants_key_rotates(run):
    run("key create secret/a")
    assert run("key rotate --tenant-key") == "the secrets of tenant default are under its key number 2\n"
    run("key export secret/a --out a.key")


def test_the_root_key_is_protected_rewrapped_and_recovered(run, secret_file, here):
    root = here / "strongroom-workspace/root"
    run("key create secret/a")
    run("key export secret/a --out before.key")
    secret_file("pp", f"{PASSPHRASE}\n".encode())
    secret_file("pp2", b"quite another passphrase\n")
    said = run("key protect --new-passphrase-file pp")
    assert 'write root = "passphrase" into strongroom.toml' in said
    assert [path.name for path in root.iterdir()] == ["root.passphrase"]
    assert "[SR-PASSPHRASE-NEEDED]" in run("key create secret/b", status=3)
    assert "[SR-PASSPHRASE]" in run("key create secret/b --passphrase-file pp2", status=3)
    run("key create secret/b --passphrase-file pp")
    shares = json.loads(run("key shares --threshold 2 --shares 3 --out shares --passphrase-file pp --json"))
    assert [stat.S_IMODE((here / each).stat().st_mode) for each in shares["files"]] == [0o600] * 3
    assert "[SR-SHARES-TOO-FEW]" in run(f"key recover {shares['files'][0]}", status=2)
    run(f"key recover {shares['files'][2]} {shares['files'][0]} --protect --new-passphrase-file pp2")
    run("key rewrap --to file --passphrase-file pp2")
    run("key export secret/a --out after.key")
    assert (here / "before.key").read_bytes() == (here / "after.key").read_bytes()
    recovered = run(f"key recover {shares['files'][0]} {shares['files'][1]}", status=3)
    assert "[SR-ROOT-OTHER]" in recovered  # the shares are of the root key before
    actions = [(entry["action"], entry.get("kind_of_root")) for entry in ledger(run) if entry["kind"] == "key"]
    assert ("rewrap_root", "passphrase") in actions
    assert ("split_root", None) in actions
    run("ledger verify")


def test_kd_03_nothing_that_opens_is_written_beside_what_it_opens(run, secret_file):
    secret_file("strongroom-workspace/pp", PASSPHRASE.encode())
    refused = run("key protect --new-passphrase-file strongroom-workspace/pp", status=3)
    assert "[SR-PASSPHRASE-BESIDE]" in refused
    refused = run("key shares --threshold 2 --shares 3 --out strongroom-workspace/shares", status=3)
    assert "[SR-PASSPHRASE-BESIDE]" in refused


def test_a_share_that_was_mistyped_is_named(run, here):
    run("key shares --threshold 2 --shares 2 --out shares")
    path = here / "shares/share-2-of-2.txt"
    path.write_text(path.read_text().replace("number: 2", "number: 1"))
    refused = run("key recover shares/share-1-of-2.txt shares/share-2-of-2.txt", status=2)
    assert "shares/share-2-of-2.txt" in refused
    assert "[SR-SHARE]" in refused
    assert "[SR-THRESHOLD]" in run("key shares --threshold 3 --shares 2 --out more", status=2)


def test_kd_21_no_secret_is_shown_passed_or_left_readable(here):
    """Every verb in a process of its own; then scan what it printed, its arguments, and every file it made."""
    (here / "pp").write_text(PASSPHRASE)
    (here / "canary").write_bytes(CANARY)
    for name in ("pp", "canary"):
        (here / name).chmod(0o600)
    lines = [
        "key put secret/canary --from canary",
        "key protect --new-passphrase-file pp",
        "key list --json",
        "key shares --threshold 2 --shares 2 --out shares --passphrase-file pp",
        "key rewrap --to file --passphrase-file pp",
        "key export secret/canary --out out.key",
        "ledger show",
    ]
    printed = b""
    for line in lines:
        done = subprocess.run([sys.executable, "-m", "strongroom", *line.split()], capture_output=True, check=True,
                              stdin=subprocess.DEVNULL)  # fmt: skip
        printed += done.stdout + done.stderr
    for needle in (
        CANARY,
        CANARY.hex().encode(),
        PASSPHRASE.encode(),
        (here / "strongroom-workspace/root/root.key").read_bytes(),
    ):
        assert needle not in printed
    assert (here / "out.key").read_bytes() == CANARY
    secrets = [here / "out.key", *(here / "shares").iterdir(), *(here / "strongroom-workspace/root").iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    for path in (here / "strongroom-workspace").rglob("*"):
        assert not path.is_file() or CANARY not in path.read_bytes()


def test_a_passphrase_is_typed_twice_and_never_shown(here, monkeypatch):
    typed = iter([PASSPHRASE, PASSPHRASE, PASSPHRASE, "another passphrase", "short"])
    monkeypatch.setattr(passphrase.getpass, "getpass", lambda _: next(typed))
    assert passphrase.ask_new() == Secret(PASSPHRASE.encode())
    with pytest.raises(passphrase_root.PassphrasesDiffer) as caught:
        passphrase.ask_new()
    assert caught.value.code == "SR-PASSPHRASES-DIFFER"
    with pytest.raises(passphrase_root.WeakPassphrase):
        passphrase.ask_new()


def test_a_terminal_is_asked_for_the_passphrase(here):
    (here / "pp").write_text(PASSPHRASE)
    (here / "pp").chmod(0o600)
    subprocess.run([sys.executable, "-m", "strongroom", "key", "protect", "--new-passphrase-file", "pp"], check=True,
                   capture_output=True)  # fmt: skip
    terminal, theirs = pty.openpty()
    line = [sys.executable, "-m", "strongroom", "key", "create", "secret/a"]
    with subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        shown = b""
        while passphrase.QUESTION.encode() not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, f"{PASSPHRASE}\n".encode())
        shown += rest_of(terminal)
    os.close(terminal)
    assert process.returncode == 0
    assert b"secret/a is made: 32 random bytes" in shown
    assert PASSPHRASE.encode() not in shown


def rest_of(terminal):
    shown = b""
    try:
        while piece := os.read(terminal, 1024):
            shown += piece
    except OSError:  # the other end is closed
        pass
    return shown


@pytest.mark.parametrize("line", ["key protect", "key rewrap --to passphrase", "key create secret/a"])
def test_where_nobody_can_be_asked_it_says_how_to_give_the_passphrase(run, here, line):
    settings = here / "strongroom-workspace/strongroom.toml"
    if "create" in line:
        settings.write_text(settings.read_text().replace('# root = "file"', 'root = "passphrase"'))
    refused = run(line, status=3)
    assert "[SR-PASSPHRASE-NEW]" in refused
    assert "passphrase-file" in refused
