"""The owner's keys are found in layers in whatever form they got there (threat SA-01)."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from strongroom.deploy.images import own_keys, scan
from strongroom.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    made = Workspace.create(tmp_path / "workspace", now=datetime.now(UTC))
    (made.folder / "root").mkdir(mode=0o700)
    (made.folder / "root" / "key").write_bytes(bytes(range(32)))
    return made


@pytest.mark.parametrize("name", ["ca/ca_key.pem", "signing/owner_key.pem", "broker/key.pem"])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_sa_01_a_key_of_the_owner_is_found_as_der(workspace, archive_of, name, form):
    key = load_pem_private_key((workspace.folder / name).read_bytes(), None)
    if form is PrivateFormat.TraditionalOpenSSL and name.startswith("signing"):
        pytest.skip("Ed25519 has no other form")
    hidden = b"\x00" * 100 + key.private_bytes(Encoding.DER, form, NoEncryption())
    archive = archive_of({"usr/share/data": hidden})
    assert scan.check(archive) == 1  # nothing tells it from data
    with pytest.raises(scan.SecretInImage, match="/usr/share/data"):
        scan.check(archive, own_keys.needles(workspace))


@pytest.mark.parametrize("spelled", [bytes(range(32)), bytes(range(32)).hex().encode()])
def test_sa_01_the_brokers_root_key_is_found_raw_and_in_digits(workspace, archive_of, spelled):
    with pytest.raises(scan.SecretInImage):
        scan.check(archive_of({"etc/x": b"a" + spelled}), own_keys.needles(workspace))


def test_certificates_and_public_keys_are_no_secrets(workspace, archive_of):
    public = (workspace.folder / "ca/ca_cert.pem").read_bytes() + workspace.owner_public_pem
    assert scan.check(archive_of({"app/ca_cert.pem": public}), own_keys.needles(workspace)) == 1
