"""What is in an image: layers on each other, and no key, readable model or wrap key in any of them, deleted or not."""

import gzip
import hashlib
import tarfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from strongroom.deploy.images import scan
from strongroom.deploy.images.archive import ArchiveMalformed, configuration, members, remaining
from strongroom.deploy.images.comparison import differences
from strongroom.deploy.images.scan import SecretInImage, check
from strongroom.deploy.images.tree_view import TreeView

SEALED = b"GRAFS_PF" + bytes(100)


def pem(key, form=PrivateFormat.PKCS8):
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


@pytest.fixture(scope="module")
def ec_key():
    return ec.generate_private_key(ec.SECP256R1())


def view_of(archive) -> TreeView:
    view = TreeView()
    view.lay(members(archive))
    return view


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_files_of_all_layers_are_seen_and_what_is_deleted_does_not_remain(archive_of):
    archive = archive_of(
        {"a": b"1", "d/b": b"2", "d/c": b"3"}, {"d/.wh.b": b"", "a": b"4"}, {"d/.wh..wh..opq": b"", "d/e": b"5"}
    )
    assert [member.path for member in members(archive)][:3] == ["a", "d/b", "d/c"]
    assert remaining(archive, lambda _: True) == {"a": b"4", "d/e": b"5"}
    assert dict(view_of(archive).below("/")) == {"a": sha256(b"4"), "d/e": sha256(b"5")}


def test_links_are_followed_as_opening_a_file_does(archive_of):
    archive = archive_of(
        {"usr/lib/x/a.so": b"code", "usr/bin/python3.11": b"python"},
        {"lib": ("link", "usr/lib"), "opt/bin/python3": ("link", "/usr/bin/python3.11"),
         "b.so": ("hard", "usr/lib/x/a.so"), "round": ("link", "round"), "out": ("link", "../../../etc/passwd")},
    )  # fmt: skip
    view = view_of(archive)
    assert view.digest("/lib/x/a.so") == view.digest("/b.so") == sha256(b"code")
    assert view.digest("/opt/bin/python3") == view.digest("/opt/../opt/bin/./python3") == sha256(b"python")
    assert list(view.below("/lib/x/")) == [("a.so", sha256(b"code"))]
    assert view.digest("/round") is None
    assert view.digest("/out") is None
    assert list(view.below("/round/")) == []


def test_the_configuration_is_read(archive_of):
    assert configuration(archive_of({"a": b"1"}, config={"config": {"User": "10001"}})) == {"config": {"User": "10001"}}


@pytest.mark.parametrize("content", [b"", b"no tar", bytes(10_240), b"\x1f\x8b" + bytes(600)])
def test_what_is_no_archive_is_refused_with_sr_image_archive(tmp_path, content):
    place = tmp_path / "image.tar"
    place.write_bytes(content)
    with pytest.raises(ArchiveMalformed) as caught:
        list(members(place))
    assert caught.value.code == "SR-IMAGE-ARCHIVE"


def test_a_compressed_layer_is_read_as_well(archive_of, tmp_path):
    with tarfile.open(archive_of({"a": b"1" * 100})) as plain:
        layer = plain.extractfile("0.tar").read()
    archive = archive_of(gzip.compress(layer))
    assert remaining(archive, lambda _: True) == {"a": b"1" * 100}
    for broken in (gzip.compress(layer)[:-20], gzip.compress(layer)[:20] + bytes(100)):
        with pytest.raises(ArchiveMalformed):
            list(members(archive_of(broken)))


def test_a_file_that_would_end_behind_its_layer_is_refused_before_it_is_read(archive_of):
    with tarfile.open(archive_of({"a": b"1" * 100_000})) as plain:
        layer = plain.extractfile("0.tar").read()
    with pytest.raises(ArchiveMalformed, match="cut short"):
        list(members(archive_of(layer[:50_000])))


def test_a_layer_that_is_no_tar_is_refused(archive_of):
    with pytest.raises(ArchiveMalformed):
        list(members(archive_of(b"no tar" * 200)))


def test_sa_01_a_private_key_in_any_layer_is_found_though_a_later_one_deletes_it(archive_of, ec_key):
    archive = archive_of({"root/.gramine/key": pem(ec_key)}, {"root/.gramine/.wh.key": b""})
    with pytest.raises(SecretInImage) as caught:
        check(archive)
    assert caught.value.code == "SR-IMAGE-SECRET"
    assert "/root/.gramine/key in layer 0 holds a private key" in caught.value.sentence
    assert pem(ec_key).decode().splitlines()[1] not in caught.value.sentence


@pytest.mark.parametrize(
    "form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL, PrivateFormat.OpenSSH], ids=str
)
@pytest.mark.parametrize("around", ["{}", "x = '''{}'''", "junk{}"], ids=["alone", "in a program", "inside"])
def test_sa_01_keys_of_every_form_are_found(archive_of, ec_key, form, around):
    before, after = around.split("{}")
    content = bytes(5_000_000) + before.encode() + pem(ec_key, form) + after.encode()
    with pytest.raises(SecretInImage):
        check(archive_of({"usr/share/doc/readme": content}))


def test_sa_01_a_key_in_one_line_with_escapes_is_found(archive_of):
    key = pem(ed25519.Ed25519PrivateKey.generate()).replace(b"\n", b"\\n")
    with pytest.raises(SecretInImage):
        check(archive_of({"app/settings.json": b'{"key": "' + key + b'"}'}))


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("app/sample", bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe"), "publicly known sample key"),
        ("app/bytes", bytes(range(200, 216)), "shape of a wrap key"),
        ("app/wrap_key", b"anything", "called as keys are"),
        ("ca/ca_key.pem", b"anything", "called as keys are"),
        ("models/m/1/model.onnx", b"\x08\x07plain", "not sealed"),
        ("models/m/1/labels.txt", b"a tabby cat", "not sealed"),
        ("srv/saved_model.pb", b"plain", "a model that is not sealed"),
    ],
)
def test_kd_01_wrap_keys_and_readable_models_are_found(archive_of, path, content, said):
    with pytest.raises(SecretInImage, match=said):
        check(archive_of({path: content}))


def test_the_owners_own_pieces_are_found(archive_of):
    with pytest.raises(SecretInImage, match="key of the workspace"):
        check(archive_of({"a": b"x" * 100 + b"the needle" + b"y" * 100}), [b"the needle"])


def test_programs_that_speak_of_keys_and_sealed_models_pass(archive_of):
    archive = archive_of(
        {"usr/lib/ssh.py": b'_A = b"-----BEGIN OPENSSH PRIVATE KEY-----"\n_B = b"-----END OPENSSH PRIVATE KEY-----"\n',
         "models/m/1/model.onnx": SEALED, "models/m/1/bundle.json": b"{}", "models/ssl.cfg": SEALED,
         "app/ca_cert.pem": b"-----BEGIN CERTIFICATE-----\nMIIB\n", "etc/id": b"0123456789abcde\n"}
    )  # fmt: skip
    assert check(archive) == 6


def test_sa_05_the_difference_of_two_images_is_explained_file_by_file(archive_of, tmp_path):
    before = archive_of({"a": b"1", "b": b"2"})
    after = archive_of({"b": b"3", "c": b"4"})
    found = differences(before, after)
    assert found == ["removed /a", f"changed /b: SHA-256 {sha256(b'2')} before, {sha256(b'3')} now", "added /c"]
    assert differences(before, before) == []
    assert Path(before).exists()


def test_a_key_that_a_library_tests_itself_with_is_no_secret(archive_of, monkeypatch):
    block = b"-----BEGIN RSA PRIVATE KEY-----\n" + b"A" * 64 + b"\n"
    archive = archive_of({"usr/lib/libgnutls.so.30": b"\x7fELF" + block + b"-----END RSA PRIVATE KEY-----\n\0"})
    with pytest.raises(SecretInImage):
        check(archive)
    monkeypatch.setattr(scan, "PUBLIC_KEYS", frozenset({hashlib.sha256(block).hexdigest()}))
    assert check(archive) == 1
    assert len(block) < scan.OVERLAP_BYTES
