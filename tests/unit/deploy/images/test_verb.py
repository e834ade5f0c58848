"""strongroom deploy build: what it refuses before it builds, what it prints, what it pins and trusts."""

import argparse
import json
import os
import stat
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from strongroom.bundles import publish
from strongroom.cli import deploy_build, main
from strongroom.deploy.description import Role
from strongroom.deploy.images import pinned
from strongroom.deploy.images.build import Made
from strongroom.deploy.images.signing import SignedEnclave
from strongroom.gramine import sigstruct
from strongroom.secret import Secret
from strongroom.workspace import Workspace
from strongroom.workspace.secret_store import model_key_name

MEASURED = {"mr_enclave": "ab" * 32, "mr_signer": "cd" * 32, "isv_prod_id": 1, "isv_svn": 1, "debug": False}


@pytest.fixture
def workspace(tmp_path):
    found = Workspace.create(tmp_path / "workspace", now=datetime.now(UTC))
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "model.onnx").write_bytes(b"a model")
    key = Secret(os.urandom(16))
    publish(
        plain, found.folder / "models", name="tiny", version=1, key=key, signer=found.signer(), engine="onnx",
        signatures={}, now=datetime.now(UTC), entropy=os.urandom,
    )  # fmt: skip
    found.secrets.put(model_key_name("tiny", 1), key)
    return found


def build(workspace, *words):
    return main(["deploy", "build", *words, "--workspace", str(workspace.folder)])


def made(tmp_path, **more) -> Made:
    archive = tmp_path / "image.tar"
    archive.write_bytes(b"layers")
    return Made(role=Role.MODEL_SERVER, reference="localhost:5000/strongroom-model-server:v1", archive=archive,
                size=365_000_000, looked_at=9, bill=b"{}", **more)  # fmt: skip


def words_of(workspace, *words) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    deploy_build.arguments(parser)
    return parser.parse_args([*words, "--workspace", str(workspace.folder)])


def test_a_role_that_push_would_take_for_a_registry_is_refused(workspace, capsys):
    assert build(workspace, "--push", "front") == 1
    assert "Put the ROLEs before --push." in capsys.readouterr().err


def test_a_base_by_its_tag_is_refused_before_anything_is_built(workspace, capsys):
    assert build(workspace, "front", "--base", "debian:12") == 3
    assert "SR-IMAGE-BASE" in capsys.readouterr().err


def test_a_model_that_was_not_published_is_said_before_anything_is_built(workspace, capsys):
    with (workspace.folder / "strongroom.toml").open("a") as file:
        file.write('\n[deploy]\n[[deploy.model]]\nname = "other"\n')
    assert build(workspace) == 2
    said = capsys.readouterr().err
    assert "SR-IMAGE-NO-MODEL" in said
    assert "building" not in said


def test_without_a_builder_it_says_which_to_install(workspace, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build(workspace, "front") == 2
    assert "SR-BUILDER" in capsys.readouterr().err


def test_a_comparison_is_about_one_image(workspace, tmp_path):
    assert build(workspace, "front", "--compare", str(tmp_path / "old.tar")) == 1


def test_a_signing_key_that_others_may_read_is_refused(workspace, capsys, monkeypatch, tmp_path, enclave_key):
    builder = tmp_path / "buildah"
    builder.write_text("#!/bin/sh\nexit 1\n")
    builder.chmod(builder.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    key = tmp_path / "enclave-key.pem"
    key.write_bytes(enclave_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o644)
    assert build(workspace, "model-server", "--sign", str(key)) == 3
    said = capsys.readouterr().err
    assert "chmod 0600" in said
    assert "BEGIN" not in said


def test_what_was_measured_can_be_trusted_at_once(workspace, tmp_path, capsys):
    image = made(tmp_path, measurement=json.dumps(MEASURED).encode())
    folder = workspace.folder / "images" / "model-server"
    folder.mkdir(parents=True)
    (folder / "measurement.json").write_bytes(image.measurement)
    deploy_build.trust(words_of(workspace, "--trust", "model/tiny/1"), image, workspace)
    assert capsys.readouterr().out == ""  # stdout is for what was built
    policy = workspace.policy_path.read_text()
    assert f'mrenclave = "{"ab" * 32}"' in policy
    assert 'release = "model/tiny/1"' in policy
    assert 'trust_domains = ["simulated"]' in policy


def test_without_being_asked_it_prints_the_command_that_trusts(workspace, tmp_path):
    image = made(tmp_path, measurement=json.dumps(MEASURED).encode())
    text = deploy_build.as_text([image], {}, words_of(workspace), workspace)
    assert f"strongroom policy trust {workspace.folder}/images/model-server/measurement.json" in text
    assert "--trust-domain simulated --release model/NAME/VERSION" in text
    before = workspace.policy_path.read_bytes()
    deploy_build.trust(words_of(workspace), image, workspace)
    assert workspace.policy_path.read_bytes() == before


def test_a_signed_enclave_is_trusted_by_its_sig_file(workspace, tmp_path, enclave_key):
    identity = sigstruct.Identity(mr_enclave=bytes(range(32)), date=datetime(2026, 11, 21, tzinfo=UTC).date())
    signature = sigstruct.sign(identity, enclave_key)
    signed = SignedEnclave(name="model-server", manifest=b"", signature=signature, identity=sigstruct.parse(signature))
    out = tmp_path / "out"
    (out / "model-server").mkdir(parents=True)
    (out / "model-server" / "model-server.sig").write_bytes(signature)
    image = made(tmp_path, enclaves=(signed,))
    words = words_of(workspace, "--trust", "model/tiny/1", "--out", str(out))
    deploy_build.trust(words, image, workspace)
    policy = workspace.policy_path.read_text()
    assert bytes(range(32)).hex() in policy
    assert 'trust_domains = ["intel"]' in policy
    assert bytes(range(32)).hex() in deploy_build.as_text([image], {}, words, workspace)


def test_pushed_images_are_pinned_in_the_workspace(workspace, tmp_path):
    digest = f"sha256:{'ef' * 32}"

    class Pushing:
        def push(self, reference, *, plain_http):
            assert plain_http
            return digest

    workshop = argparse.Namespace(builder=Pushing())
    found = deploy_build.push(workshop, [made(tmp_path)], workspace)
    assert found == pinned(workspace.folder) == {
        Role.MODEL_SERVER: f"localhost:5000/strongroom-model-server@{digest}"
    }  # fmt: skip
    printed = json.loads(deploy_build.as_json([made(tmp_path)], found, ["added /a"]))
    assert printed["images"][0]["pinned"] == found[Role.MODEL_SERVER]
    assert printed["changes"] == ["added /a"]
