"""A sealed model is published as it came out of a job: opened by its owner's key, in memory, whole or not at all."""

import json

import pytest

from strongroom.analytics.learning import linear_onnx
from strongroom.bundles import open_bundle
from strongroom.cli import main
from strongroom.pki import signing
from strongroom.secret import Secret
from strongroom.workspace import Workspace

PUBLISH = ["model", "publish", "trained", "--name", "line", "--version", "1"]
MODEL = linear_onnx.to_onnx([0.5, 2.0, 0.25], 1.0)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A workspace with a primary key, and a model as a job seals it under that."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain" / "1").mkdir(parents=True)
    (tmp_path / "plain" / "1" / "model.onnx").write_bytes(MODEL)
    for words in (["init"], ["data", "key", "models"],
                  ["data", "seal", "plain", "--kind", "file", "--key", "models", "--out", "trained"]):  # fmt: skip
        assert main(words) == 0
    (tmp_path / "plain" / "1" / "model.onnx").unlink()
    return tmp_path / "trained"


def opened(tmp_path, key):
    owner = signing.load_owner_public(Workspace.open(tmp_path / "strongroom-workspace").owner_public_pem)
    return open_bundle(tmp_path / "models" / "line" / "1", key=key, owner=owner, name="line", version=1)


def key_of(tmp_path):
    from strongroom.broker.keyring.opening import open_keyring

    keyring = open_keyring(Workspace.open(tmp_path / "strongroom-workspace"))
    try:
        key: Secret = keyring.get("default", "model/line/1")
        return key
    finally:
        keyring.close()
        keyring.store.close()


def test_a_sealed_model_is_published_under_a_key_of_its_version(trained, tmp_path, capsys):
    capsys.readouterr()
    assert main([*PUBLISH, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [(each["path"], each["size"]) for each in facts["files"]] == [("model.onnx", len(MODEL))]
    assert opened(tmp_path, key_of(tmp_path)).read("model.onnx") == MODEL
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and MODEL[:64] in path.read_bytes()]


def test_a1_a_changed_model_is_not_published(trained, tmp_path, capsys):
    path = trained / "1" / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert main(PUBLISH) != 0
    assert "model.onnx" in capsys.readouterr().err
    assert not (tmp_path / "models").exists() or not list((tmp_path / "models").rglob("bundle.json"))


def test_an_older_copy_of_a_sealed_model_is_not_published(trained, tmp_path, capsys):
    assert main([*PUBLISH, "--min-generation", "2"]) == 3
    assert "[SR-DATA-GENERATION]" in capsys.readouterr().err
    assert not list(tmp_path.rglob("bundle.json"))


def test_an_10_without_the_primary_key_a_sealed_model_is_not_published(trained, tmp_path, capsys):
    assert main(["data", "key", "other", "--file", "elsewhere"]) == 0
    assert main([*PUBLISH, "--keys", "file:elsewhere"]) != 0
    assert "models" in capsys.readouterr().err
    assert not list(tmp_path.rglob("bundle.json"))


def test_sealed_data_that_is_no_model_is_not_published(trained, tmp_path, capsys):
    (tmp_path / "people.csv").write_text("name\nAndy\n")
    assert main(["data", "seal", "people.csv", "--key", "models", "--out", "people"]) == 0
    assert main(["model", "publish", "people", "--name", "line", "--version", "1"]) == 2
    assert "[SR-LEARN-NO-MODEL]" in capsys.readouterr().err
