"""An enclave's image from end to end with a builder in memory: signed outside, two files added, no key in any layer."""

import json
import os
import tarfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.bundles import publish
from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.description import Description, Model, Role, Tee
from strongroom.deploy.images import build
from strongroom.deploy.images.archive import members, remaining
from strongroom.deploy.images.expansion import NotExpandable
from strongroom.deploy.images.scan import SecretInImage
from strongroom.gramine import measure, sigstruct
from strongroom.secret import Secret

DAY = date(2026, 11, 21)
LIBPAL = "usr/lib/x86_64-linux-gnu/gramine/sgx/libpal.so"
SYSTEM = {
    "lib": ("link", "usr/lib"),
    "usr/lib/x86_64-linux-gnu/gramine/runtime/glibc/libc.so.6": b"libc",
    "usr/bin/python3.11": b"python",
    "usr/lib/python3.11/os.py": b"os",
    "opt/strongroom/bin/python3": ("link", "/usr/bin/python3.11"),
}


@dataclass
class LayerBuilder:
    """Understands FROM and COPY, which is enough for container files that run nothing."""

    archive_of: object
    images: dict[str, list[dict[str, object]]] = field(default_factory=dict)

    def has(self, reference):
        return reference in self.images

    def build(self, context, reference, *, base=None):
        layers = []
        for line in (context / "Containerfile").read_text().splitlines():
            words = line.split()
            if words[:1] == ["ARG"]:
                base = base or words[1].removeprefix("BASE=")
            elif words[:1] == ["FROM"]:
                layers = list(self.images[base if words[1] == "${BASE}" else words[1]])
            elif words[:1] == ["COPY"]:
                place = context / words[-2].rstrip("/")
                files = {
                    path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()
                }
                layers.append({f"{words[-1].strip('/')}/{name}": content for name, content in sorted(files.items())})
        self.images[reference] = layers

    def save(self, reference, archive):
        archive.parent.mkdir(parents=True, exist_ok=True)
        self.archive_of(*self.images[reference]).rename(archive)

    def run(self, reference, words):
        return json.dumps({"mr_enclave": "ab" * 32, "mr_signer": "cd" * 32}).encode()

    def push(self, reference, *, plain_http):
        return f"sha256:{'ab' * 32}"


@pytest.fixture(scope="module")
def signer():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def source(tmp_path, signer):
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "model.onnx").write_bytes(b"a model" * 10)
    publish(
        plain, tmp_path / "models", name="tiny", version=1, key=Secret(os.urandom(16)), signer=signer, engine="onnx",
        signatures={}, now=datetime(2026, 1, 1, tzinfo=UTC), entropy=os.urandom,
    )  # fmt: skip
    return build.Source(
        description=Description(tee=Tee.SGX, models=(Model(name="tiny", path="models/tiny"),)), profile=GENERIC,
        public_files={"ca_cert.pem": "ca", "owner_public.pem": "owner"}, owner=signer.public_key(), workspace=tmp_path,
    )  # fmt: skip


@pytest.fixture
def pal(shared_vectors):
    return (shared_vectors / "gramine" / "sig" / "libpal.so").read_bytes()


@pytest.fixture
def workshop(archive_of, tmp_path, pal, source, enclave_key):
    """A workshop in which the model server's unsigned image is there already."""
    builder = LayerBuilder(archive_of)
    app = {f"app/{name}": content for name, content in build.app(Role.MODEL_SERVER, source).items()}
    builder.images[source.description.image(Role.MODEL_SERVER)] = [SYSTEM, {LIBPAL: pal}, app]
    (tmp_path / "folder").mkdir()
    return build.Workshop(
        builder=builder, environ={}, folder=tmp_path / "folder", signing=build.Signing(key=enclave_key, on=DAY)
    )


def saved(workshop, source, tmp_path) -> Path:
    archive = tmp_path / "image.tar"
    workshop.builder.save(source.description.image(Role.MODEL_SERVER), archive)
    return archive


def test_sa_01_an_enclave_is_signed_outside_of_its_image_and_no_layer_holds_the_key(
    workshop, source, tmp_path, pal, enclave_key
):
    archive = saved(workshop, source, tmp_path)
    [enclave] = workshop._sign(Role.MODEL_SERVER, source, archive)
    added = remaining(archive, lambda path: path.endswith((".sgx", ".sig")))
    assert added == {f"app/{name}": content for name, content in enclave.files.items()}
    found = sigstruct.parse(added["app/model-server.sig"])
    found.check()
    measure.compare(measure.measure(added["app/model-server.manifest.sgx"], pal), found)
    prime = enclave_key.private_numbers().p.to_bytes(192, "big")
    for member in members(archive):
        if member.is_file:
            with member.open() as stream:
                content = stream.read()
            assert prime not in content
            assert prime[::-1] not in content
    assert not [
        path
        for path in (tmp_path / "folder").rglob("*")
        if b"PRIVATE" in (path.read_bytes() if path.is_file() else b"")
    ]


def test_sealed_models_are_part_of_what_is_signed(workshop, source, tmp_path):
    archive = saved(workshop, source, tmp_path)
    [enclave] = workshop._sign(Role.MODEL_SERVER, source, archive)
    for name in ("bundle.json", "bundle.sig", "model.onnx"):
        assert f'"file:/models/tiny/1/{name}"'.encode() in enclave.manifest


def test_an_image_without_gramine_is_not_signed(workshop, source, tmp_path):
    workshop.builder.images[source.description.image(Role.MODEL_SERVER)] = [SYSTEM]
    with pytest.raises(NotExpandable, match="Gramine is not installed"):
        workshop._sign(Role.MODEL_SERVER, source, saved(workshop, source, tmp_path))


def test_the_models_image_is_made_of_sealed_versions_and_lists_them(workshop, source, tmp_path):
    made = workshop.make(Role.MODELS, source, tmp_path / "models.tar")
    assert made.models == ("tiny/1",)
    assert "model/tiny/1" in {each["bom-ref"] for each in json.loads(made.bill)["components"]}
    with tarfile.open(made.archive) as archive:
        assert "manifest.json" in archive.getnames()


def test_sa_01_an_image_that_holds_a_key_is_not_left_for_anybody_to_load(workshop, source, tmp_path):
    reference = source.description.image(Role.MODEL_SERVER)
    workshop.builder.images[reference].append({"root/wrap_key": bytes(16)})
    with pytest.raises(SecretInImage):
        workshop.make(Role.MODELS, source, tmp_path / "models.tar")
    assert not (tmp_path / "models.tar").exists()
