"""The models' image: whole, signed, sealed versions, or nothing."""

import os
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.bundles import publish
from strongroom.bundles.manifest import BundleSignatureInvalid
from strongroom.deploy.description import Model
from strongroom.deploy.images.sealed import NothingPublished, NotSealed, gather
from strongroom.secret import Secret

MODELS = (Model(name="tiny", path="models/tiny"),)


@pytest.fixture(scope="module")
def signer():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def workspace(tmp_path, signer):
    """Two sealed versions of one model, and the sealed ssl.cfg beside them."""
    source = tmp_path / "plain"
    source.mkdir()
    (source / "model.onnx").write_bytes(b"a model" * 100)
    for version in (1, 2):
        publish(
            source, tmp_path / "models", name="tiny", version=version, key=Secret(os.urandom(16)), signer=signer,
            engine="onnx", signatures={}, now=datetime(2026, 1, 1, tzinfo=UTC), entropy=os.urandom,
        )  # fmt: skip
    (tmp_path / "models" / "ssl.cfg").write_bytes(b"GRAFS_PF" + bytes(10))
    return tmp_path


def gathered(workspace, signer, models=MODELS):
    return gather(workspace, models, workspace / "context", owner=signer.public_key())


def test_every_version_and_the_sealed_configuration_are_taken(workspace, signer):
    assert gathered(workspace, signer) == ["tiny/1", "tiny/2"]
    found = {path.relative_to(workspace / "context").as_posix() for path in (workspace / "context").rglob("*.*")}
    assert found == {"ssl.cfg"} | {
        f"tiny/{version}/{name}" for version in (1, 2) for name in ("model.onnx", "bundle.json", "bundle.sig")
    }


def test_what_is_not_in_the_models_folder_stays_out(workspace, signer):
    (workspace / "models" / "tiny" / "notes").mkdir()
    (workspace / "models" / "tiny" / "notes" / "wrap_key").write_bytes(bytes(16))
    gathered(workspace, signer)
    assert not (workspace / "context" / "tiny" / "notes").exists()


@pytest.mark.parametrize("name", ["extra.onnx", ".hidden", "wrap_key"])
def test_sa_01_a_file_that_the_manifest_does_not_list_is_refused_with_sr_image_not_sealed(workspace, signer, name):
    (workspace / "models" / "tiny" / "1" / name).write_bytes(b"plain")
    with pytest.raises(NotSealed) as caught:
        gathered(workspace, signer)
    assert caught.value.code == "SR-IMAGE-NOT-SEALED"


def test_kd_01_a_readable_file_is_refused(workspace, signer):
    (workspace / "models" / "tiny" / "2" / "model.onnx").write_bytes(b"readable")
    with pytest.raises(NotSealed):
        gathered(workspace, signer)


def test_a_link_out_of_the_workspace_is_refused(workspace, signer):
    place = workspace / "models" / "tiny" / "1" / "model.onnx"
    (workspace / "elsewhere").write_bytes(place.read_bytes())
    place.unlink()
    place.symlink_to(workspace / "elsewhere")
    with pytest.raises(NotSealed):
        gathered(workspace, signer)


def test_a_readable_ssl_configuration_is_refused(workspace, signer):
    (workspace / "models" / "ssl.cfg").write_text("server_key: ...")
    with pytest.raises(NotSealed):
        gathered(workspace, signer)


def test_somebody_elses_version_is_refused(workspace):
    with pytest.raises(BundleSignatureInvalid):
        gathered(workspace, Ed25519PrivateKey.generate())


def test_a_version_under_another_number_is_refused(workspace, signer):
    (workspace / "models" / "tiny" / "2").rename(workspace / "models" / "tiny" / "3")
    with pytest.raises(NotSealed):
        gathered(workspace, signer)


@pytest.mark.parametrize("models", [(), (Model(name="other", path="models/other"),)])
def test_no_model_at_all_is_refused_with_sr_image_no_model(workspace, signer, models):
    with pytest.raises(NothingPublished) as caught:
        gathered(workspace, signer, models)
    assert caught.value.code == "SR-IMAGE-NO-MODEL"
