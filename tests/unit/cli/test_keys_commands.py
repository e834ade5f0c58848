"""keys generate and keys password, as typed: no secret on the screen, none in clear where a cluster sees it."""

import base64
import io
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from strongroom import sealing
from strongroom.cli import main
from strongroom.secret import Secret

PASSWORD = "Canary-7-ElephantParade"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["init"])
    (tmp_path / "pw").write_text(PASSWORD + "\n")
    (tmp_path / "pw").chmod(0o600)
    return tmp_path


@pytest.fixture
def run(capsys):
    capsys.readouterr()

    def command(line, status=0):
        assert main(line.split()) == status
        captured = capsys.readouterr()
        assert PASSWORD not in captured.out + captured.err
        return captured.out if status == 0 else captured.err

    return command


def sealing_key(run):
    run("key export secret/ssl-keys --out k")
    return Secret(Path("k").read_bytes())


def test_one_command_makes_all_that_a_queue_needs(run):
    said = json.loads(run("keys generate --password-file pw --name serving.example.com --json"))
    assert {"keystore.jks", "keystore.pkcs12", "server.pem", "keys.yaml", "redis"} <= set(said["files"])
    assert "kubectl apply" in run("keys password")
    assert "password/ssl-keys" in run("key list")


def test_the_password_may_come_over_standard_input(run, monkeypatch, here):
    class Stdin:
        buffer = io.BytesIO(PASSWORD.encode())

    monkeypatch.setattr("sys.stdin", Stdin())
    run("keys generate --password-file -")
    keytool = ["keytool", "-list", "-keystore", "keys/keystore.jks", "-storepass:file", "pw"]
    assert b"privatekeyentry" in subprocess.run(keytool, capture_output=True, check=True).stdout.lower()


def test_without_a_password_a_random_one_is_made_and_kept(run):
    run("keys generate")
    run("key export password/ssl-keys --out kept")
    assert len(Path("kept").read_bytes()) == 32
    run("keys generate --out again")
    run("key export password/ssl-keys --out kept2")
    assert Path("kept").read_bytes() == Path("kept2").read_bytes()


def test_kd_24_the_secret_of_the_password_opens_with_the_workspaces_key_alone(run):
    run("keys generate --password-file pw")
    run("keys password")
    document = yaml.safe_load(Path("password/password.yaml").read_text())
    assert document["metadata"]["name"] == "ssl-password"
    assert list(document["data"]) == ["password"]
    sealed = base64.b64decode(document["data"]["password"])
    assert sealed == Path("password/password").read_bytes()
    key = sealing_key(run)
    assert sealing.unseal_bytes(sealed, key, stored_path="password/password") == PASSWORD.encode()
    with pytest.raises(sealing.WrongKeyOrTampered):
        sealing.unseal_bytes(sealed, Secret(os.urandom(16)), stored_path="password/password")


def test_kd_24_no_yaml_holds_a_secret_in_any_form(run, here):
    run("keys generate --password-file pw")
    run("keys password")
    keys_raw = [path.read_bytes() for path in here.rglob("keys/**/*.key")] + [PASSWORD.encode()]
    keys_raw += [path.read_bytes() for path in here.rglob("keys/**/redis.password")]
    assert len(keys_raw) > 5
    for place in (here / "keys/keys.yaml", here / "password/password.yaml"):
        for document in yaml.safe_load_all(place.read_text()):
            everything = b"\n".join(base64.b64decode(each) for each in document["data"].values())
            for secret in keys_raw:
                assert secret not in everything
                assert base64.b64encode(secret)[:24] not in everything


def test_legacy_writes_the_old_content_into_files_loudly_and_no_secret_of_kubernetes(run, here, capsys):
    run("keys generate --password-file pw")
    assert main(["keys", "password", "--legacy", "old"]) == 0
    assert "WARNING" in capsys.readouterr().err
    assert {path.name for path in (here / "old").iterdir()} == {"key.txt", "output.bin"}
    assert not (here / "password").exists()
    opened = subprocess.run(
        ["openssl", "pkeyutl", "-decrypt", "-inkey", "old/key.txt", "-in", "old/output.bin"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert opened == PASSWORD.encode() + b"\n"
    assert len((here / "old/output.bin").read_bytes()) == 256
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (here / "old").iterdir())


def test_legacy_server_files_are_in_clear_only_where_they_were_asked_for(run, here, capsys):
    run("keys generate --out plain --password-file pw")
    assert b"ENCRYPTED" in (here / "plain/server.key").read_bytes()
    assert main(["keys", "generate", "--out", "more", "--password-file", "pw", "--legacy", "clear"]) == 0
    assert "WARNING" in capsys.readouterr().err
    assert (here / "clear/server.key").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert b"BEGIN CERTIFICATE" in (here / "clear/server.pem").read_bytes()
    assert b"ENCRYPTED" in (here / "more/server.key").read_bytes()


def test_a_renewal_keeps_ca_and_logins(run, here):
    run("keys generate")
    before = {name: (here / "keys" / name).read_bytes() for name in
              ("ca.crt", "worker/redis.password", "redis/redis.logins", "server.crt", "worker/tls.crt")}  # fmt: skip
    run("keys generate --renew")
    after = {name: (here / "keys" / name).read_bytes() for name in before}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"server.crt", "worker/tls.crt"}
    assert "not due" in run("keys generate --renew --if-within 30")
    assert "renewed" in run("keys generate --renew --if-within 100")


def test_a_weak_password_or_one_that_others_can_read_is_refused(run, here):
    (here / "weak").write_text("short1")
    (here / "weak").chmod(0o600)
    assert "SR-KEYSTORE-WEAK-PASSWORD" in run("keys generate --password-file weak", status=2)
    (here / "pw").chmod(0o644)
    assert "SR-LOOSE-PERMISSIONS" in run("keys generate --password-file pw", status=3)
    assert "SR-KEYS-DAYS" in run("keys generate --days 398", status=2)
    assert not (here / "keys").exists()


def test_the_ledger_says_that_keys_were_made(run):
    run("keys generate")
    lines = [json.loads(line) for line in run("ledger show --json").splitlines()]
    assert {each.get("secret") for each in lines} >= {"password/ssl-keys", "secret/ssl-keys"}
