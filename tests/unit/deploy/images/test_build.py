"""What images are made of, and what stops a build before it begins."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.description import Description, Flavour, Model, Role, Tee
from strongroom.deploy.images.build import (
    BaseNeeded,
    BaseNotPinned,
    DistributorKeyMissing,
    Source,
    Workshop,
    app,
    checked_base,
    environment,
    in_order,
    templates,
    with_tags,
)

MODELS = (Model(name="m", path="models/m"),)


def source_of(**more) -> Source:
    return Source(
        description=Description(models=MODELS, **more), profile=GENERIC, workspace=Path("/nowhere"),
        public_files={"ca_cert.pem": "ca", "owner_public.pem": "owner"},
        owner=Ed25519PrivateKey.generate().public_key(),
    )  # fmt: skip


@pytest.mark.parametrize("text", ["debian", "debian:12", "debian@sha256:12", f"debian@sha256:{'g' * 64}", ""])
def test_sa_04_a_base_without_a_digest_is_refused_with_sr_image_base(text):
    with pytest.raises(BaseNotPinned) as caught:
        checked_base(text)
    assert caught.value.code == "SR-IMAGE-BASE"


def test_a_base_with_a_digest_and_the_one_made_here_are_taken():
    pinned = f"registry.example/debian@sha256:{'ab' * 32}"
    assert checked_base(pinned) == pinned
    assert checked_base("debootstrap") is checked_base(None) is None


def test_a_distribution_that_cannot_be_made_here_is_sr_image_base_needed(tmp_path):
    workshop = Workshop(builder=None, environ={}, folder=tmp_path)
    with pytest.raises(BaseNeeded) as caught:
        workshop.make(Role.BROKER, source_of(flavour=Flavour.ANOLISOS), tmp_path / "image.tar")
    assert caught.value.code == "SR-IMAGE-BASE-NEEDED"


def test_gramines_packages_without_their_distributors_keys_are_sr_image_repository_key(tmp_path):
    workshop = Workshop(builder=None, environ={}, folder=tmp_path)
    with pytest.raises(DistributorKeyMissing) as caught:
        workshop._copy_keys(Role.MODEL_SERVER, source_of(tee=Tee.SGX), tmp_path)
    assert caught.value.code == "SR-IMAGE-REPOSITORY-KEY"


def test_a_simulated_replica_starts_from_its_manifest_and_the_owners_public_files():
    found = app(Role.MODEL_SERVER, source_of())
    assert {"replica.manifest", "ca_cert.pem", "owner_public.pem"} <= found.keys()
    assert found["ca_cert.pem"] == b"ca"
    assert not [name for name in found if name.endswith(".template")]


def test_an_enclaves_image_holds_the_templates_of_its_own_programs():
    source = source_of(tee=Tee.SGX)
    assert list(templates(Role.MODEL_SERVER, source)) == ["model-server"]
    assert set(templates(Role.SPARK, source)) == {"spark-driver", "spark-executor"}
    assert set(templates(Role.FLINK, source)) == {"flink-jobmanager", "flink-taskmanager"}
    assert "replica.manifest" not in app(Role.MODEL_SERVER, source)
    assert "model-server.manifest.template" in app(Role.MODEL_SERVER, source)


def test_models_are_built_after_the_model_server_that_they_stand_on():
    assert in_order([Role.MODELS, Role.FRONT]) == (Role.MODEL_SERVER, Role.MODELS, Role.FRONT)
    assert in_order([Role.CLIENT]) == (Role.CLIENT,)


def test_images_that_are_being_built_are_named_by_tags():
    pinned = {Role.BROKER: f"x@sha256:{'ab' * 32}"}
    found = with_tags(source_of(images=pinned), Flavour.AZURE, "registry.example:5000")
    assert found.description.image(Role.BROKER) == "registry.example:5000/strongroom-broker:azure-latest-sealed"


def test_a_proxy_is_for_the_programs_that_download_and_for_no_image():
    found = environment("http://proxy:3128", {"PATH": "/bin"})
    assert found["https_proxy"] == found["http_proxy"] == "http://proxy:3128"
    assert environment(None, {"PATH": "/bin"}) == {"PATH": "/bin"}
