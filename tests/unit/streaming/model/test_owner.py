"""The owner's half: keys made, rotated and their overlap ended; small files sealed for a job's workers."""

import asyncio
import json
import secrets
from datetime import UTC, datetime

import pytest

from strongroom.cli import main
from strongroom.clusterserving.public_key_file import PublicKeyFile
from strongroom.clusterserving.sealed import KEY_BYTES, BadQueueKey, keys_of
from strongroom.pki import signing
from strongroom.sealing import WrongKeyOrTampered, WrongPath
from strongroom.secret import Secret
from strongroom.streaming.model.credentials import SealedCredentials, open_credentials
from strongroom.streaming.model.owner import Change, OwnersSecret, RotatedMeanwhile, next_keys


def test_a_rotation_keeps_the_key_before_and_the_next_one_lets_it_go():
    first = next_keys(None, Change.KEEP)
    assert len(first) == KEY_BYTES
    assert next_keys(first, Change.KEEP) == first
    second = next_keys(first, Change.ROTATE)
    kids = [[key.public.kid for key in keys_of(each)] for each in (first, second)]
    assert kids[1][1:] == kids[0]
    third = [key.public.kid for key in keys_of(next_keys(second, Change.ROTATE))]
    assert (len(third), third[1]) == (2, kids[1][0])
    assert [key.public.kid for key in keys_of(next_keys(second, Change.END_OVERLAP))] == kids[1][:1]


@pytest.mark.parametrize("change", [Change.ROTATE, Change.END_OVERLAP])
def test_what_is_not_there_cannot_be_rotated(change):
    with pytest.raises(BadQueueKey):
        next_keys(None, change)
    with pytest.raises(BadQueueKey):
        next_keys(Secret(secrets.token_bytes(31)), change)


@pytest.fixture
def workspace(tmp_path, capsys):
    assert main(["init", str(tmp_path / "workspace")]) == 0
    capsys.readouterr()
    return tmp_path / "workspace"


def run(capsys, *words, status=0):
    assert main([*map(str, words)]) == status
    captured = capsys.readouterr()
    return captured.out if status == 0 else captured.err


def test_the_verb_makes_and_rotates_the_key_and_signs_its_public_half(workspace, tmp_path, capsys):
    out = tmp_path / "queue.json"
    words = ["queue", "key", "--job", "images", "--model", "resnet50", "--version", "3", "--out", out,
             "--workspace", workspace, "--json"]  # fmt: skip
    first = json.loads(run(capsys, *words))
    assert (first["secret"], first["accepted"]) == ("secret/queue-images", [first["kid"]])
    again = json.loads(run(capsys, *words, "--days", "1"))
    assert again["kid"] == first["kid"]
    assert again["not_after"] < first["not_after"]
    rotated = json.loads(run(capsys, *words, "--rotate"))
    assert rotated["accepted"] == [rotated["kid"], first["kid"]]
    owner = signing.load_owner_public((workspace / "signing" / "owner_public.pem").read_bytes())
    found = PublicKeyFile.read(out.read_bytes(), owner=owner, now=datetime.now(UTC))
    assert (found.job, found.model, found.version, found.key.kid) == ("images", "resnet50", 3, rotated["kid"])
    assert json.loads(run(capsys, *words, "--end-overlap"))["accepted"] == [rotated["kid"]]
    told = run(capsys, *words[:-1])
    assert "strongroom policy trust BUILD --release model/resnet50/3 --release secret/queue-images" in told
    shown = run(capsys, "ledger", "show", "--workspace", workspace, "--json")
    assert shown.count("secret/queue-images") == 3


def test_a_key_that_is_not_there_cannot_be_rotated_by_the_verb(workspace, tmp_path, capsys):
    told = run(capsys, "queue", "key", "--model", "m", "--out", tmp_path / "k", "--rotate", "--workspace", workspace,
               status=2)  # fmt: skip
    assert "SR-QUEUE-KEY" in told
    assert not (tmp_path / "k").exists()


def test_two_owners_at_once_do_not_lose_a_key(workspace):
    from strongroom.broker.keyring.opening import open_keyring
    from strongroom.broker.names import SecretName
    from strongroom.workspace import Workspace

    keyring = open_keyring(Workspace.open(workspace))
    name = SecretName.parse("secret/queue-images")
    try:
        mine = OwnersSecret(keyring=keyring, tenant="default", name=name, note=lambda *_: None)
        mine.change_keys(Change.KEEP)
        keyring.get = _with(keyring.get, lambda: keyring.create("default", str(name), "another"))
        with pytest.raises(RotatedMeanwhile) as race:
            mine.change_keys(Change.ROTATE)
        assert race.value.code == "SR-QUEUE-KEY-RACE"
    finally:
        keyring.close()
        keyring.store.close()


def _with(read, meanwhile):
    def get(*args):
        found = read(*args)
        meanwhile()
        return found

    return get


def test_sealed_credentials_open_with_the_key_for_their_job_and_name_alone(workspace, tmp_path, capsys):
    plain, out = tmp_path / "worker.password", tmp_path / "sealed"
    plain.write_bytes(b"correct horse\n")
    plain.chmod(0o600)
    words = ["queue", "seal", plain, "--job", "images", "--out", out, "--workspace", workspace, "--json"]
    assert json.loads(run(capsys, *words))["secret"] == "secret/queue-credentials-images"
    assert b"horse" not in (out / "worker.password").read_bytes()
    key = tmp_path / "key"
    run(capsys, "key", "export", "secret/queue-credentials-images", "--out", key, "--workspace", workspace)
    opened = SealedCredentials("images", Secret(key.read_bytes()))
    with opened.read(str(out / "worker.password")).reveal() as raw:
        assert raw == b"correct horse\n"
    (out / "worker.password").rename(out / "worker.key")
    with pytest.raises(WrongPath):
        opened.read(str(out / "worker.key"))
    with pytest.raises(WrongKeyOrTampered):
        SealedCredentials("images", Secret(secrets.token_bytes(16))).read(str(out / "worker.key"))
    plain.chmod(0o644)
    assert "SR-LOOSE-PERMISSIONS" in run(capsys, *words, "--job", "other", status=3)


def test_a_queue_key_is_no_key_for_files(workspace, tmp_path, capsys):
    run(capsys, "queue", "key", "--job", "a", "--model", "m", "--out", tmp_path / "k", "--workspace", workspace)
    told = run(capsys, "queue", "seal", tmp_path / "k", "--job", "a", "--secret", "secret/queue-a", "--out",
               tmp_path / "out", "--workspace", workspace, status=2)  # fmt: skip
    assert "SR-QUEUE-KEY" in told


def test_without_sealed_credentials_nobody_is_asked(config):
    assert asyncio.run(open_credentials(config(), environ={})) is None
