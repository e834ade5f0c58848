"""The folder keys/: the names that users know, one certificate for each part, and a renewal in one step."""

import base64
import os
import stat
import threading
from datetime import timedelta

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from strongroom import sealing
from strongroom.pki import disk, keys
from strongroom.pki.authority import Authority
from strongroom.pki.keystores import generate
from strongroom.pki.keystores.generate import NotAKeysFolder, Settings, TooManyDays
from strongroom.pki.keystores.jks import read_jks
from strongroom.pki.keystores.parts import KeyKind, usual_parts
from strongroom.pki.keystores.passwords import WeakStorePassword, new_password, password_of
from strongroom.pki.keystores.pkcs12 import read_pkcs12
from strongroom.secret import Secret

SIX = {"keystore.jks", "keystore.pkcs12", "server.crt", "server.csr", "server.key", "server.pem"}
KEY = Secret(bytes(range(16)))


@pytest.fixture
def settings():
    return Settings(parts=usual_parts(["serving.example.com"], domain="ns.svc.cluster.local"))


@pytest.fixture
def folder(tmp_path, authority, password, settings, now):
    generate.generate(tmp_path / "keys", authority, password, settings, sealing_key=KEY, now=now)
    return tmp_path / "keys"


def leaf(path):
    return keys.load_certificates(path.read_bytes())[0]


def usages(certificate):
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_the_six_files_of_generate_keys_are_there_and_more(folder):
    names = {path.name for path in folder.iterdir()}
    assert names >= {*SIX, "ca.crt", "trust.p12", "trust.jks", "keys.yaml"}
    assert {"redis", "frontend", "jobmanager", "taskmanager", "worker", "client", "admin"} <= names


def test_private_files_are_their_owners_alone(folder):
    public = {".crt", ".csr", ".yaml", ".json"}
    for path in (each for each in folder.rglob("*") if each.is_file()):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o644 if path.suffix in public else 0o600), path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_each_part_has_a_certificate_for_what_it_does(folder, authority):
    server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
    ca = keys.load_certificates(authority.certificate_pem)[0]
    for name, wanted in {"redis": {server}, "frontend": {server}, "worker": {client}, "client": {client},
                         "jobmanager": {server, client}, "taskmanager": {server, client},
                         "flink-client": {client}}.items():  # fmt: skip
        certificate = leaf(folder / name / "tls.crt")
        assert usages(certificate) == wanted
        certificate.verify_directly_issued_by(leaf(folder / name / "ca.crt"))
        assert (leaf(folder / name / "ca.crt") == ca) == (name not in {"jobmanager", "taskmanager", "flink-client"})
    serials = {leaf(path).serial_number for path in folder.rglob("*.crt")}
    assert len(serials) == 12  # ten parts, the CA, and the one of Flink
    assert not (folder / "flink-client/redis.password").exists()  # it hands jobs to Flink, and is nobody to Redis


def test_servers_have_the_names_of_their_services(folder):
    certificate = leaf(folder / "redis/tls.crt")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found = set(names.get_values_for_type(x509.DNSName))
    wanted = {"redis-service", "redis-service.ns.svc", "redis-service.ns.svc.cluster.local", "serving.example.com"}
    assert found >= {*wanted, "localhost"}


def test_the_servers_key_is_encrypted_and_server_pem_is_key_then_certificate(folder, password):
    key = (folder / "server.key").read_bytes()
    assert key.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert (folder / "server.pem").read_bytes() == key + (folder / "server.crt").read_bytes()
    with password.reveal() as raw:
        opened = load_pem_private_key(key, raw)
    assert keys.spki(opened.public_key()) == keys.spki(keys.public_key(leaf(folder / "server.crt")))


def test_the_stores_hold_the_servers_key_and_the_ca(folder, password, authority):
    own = read_jks((folder / "keystore.jks").read_bytes(), password)
    assert own == read_pkcs12((folder / "keystore.pkcs12").read_bytes(), password)
    assert own[0].chain[0] == leaf(folder / "server.crt").public_bytes(keys.Encoding.DER)
    trust = read_pkcs12((folder / "trust.p12").read_bytes(), password)
    assert trust == read_jks((folder / "trust.jks").read_bytes(), password)
    assert [each.alias for each in trust] == ["ca"]


@pytest.mark.parametrize(("own", "trust"), [("keystore.jks", "trust.jks"), ("keystore.pkcs12", "trust.p12")])
def test_java_talks_tls_to_itself_with_the_stores(folder, java, own, trust):
    kind = "JKS" if own.endswith("jks") else "PKCS12"
    assert java(folder / own, folder / trust) == ["1", "1", "TLSv1.3", "42", kind, kind]


def test_java_takes_rsa_keys_too(tmp_path, authority, password, now, java):
    parts = tuple(each for each in usual_parts() if each.name == "server")
    generate.generate(tmp_path / "r", authority, password, Settings(parts=parts, kind=KeyKind.RSA), sealing_key=KEY,
                      now=now)  # fmt: skip
    assert leaf(tmp_path / "r/server.crt").public_key().key_size == 3072
    assert java(tmp_path / "r/keystore.jks", tmp_path / "r/trust.p12")[2] == "TLSv1.3"


def test_openssl_takes_certificate_request_and_key(folder, password_file, run):
    run("openssl", "req", "-in", folder / "server.csr", "-noout", "-verify")
    run("openssl", "verify", "-CAfile", folder / "ca.crt", folder / "server.crt")
    run("openssl", "pkey", "-in", folder / "server.key", "-passin", f"file:{password_file}", "-noout")


def test_dp_05_no_part_of_the_queue_is_taken_for_a_part_of_flink(folder, password):
    inner = leaf(folder / "jobmanager/ca.crt")
    assert inner == leaf(folder / "taskmanager/ca.crt")
    trusted = read_pkcs12((folder / "taskmanager/trust.p12").read_bytes(), password)
    assert [each.certificate for each in trusted] == [inner.public_bytes(keys.Encoding.DER)]
    for name in ("redis", "frontend", "worker", "client", "admin"):
        with pytest.raises(ValueError, match="Issuer"):
            leaf(folder / name / "tls.crt").verify_directly_issued_by(inner)


# What may enter a cluster


def test_the_secrets_hold_certificates_and_sealed_files_and_nothing_else(folder, password):
    documents = list(yaml.safe_load_all((folder / "keys.yaml").read_text()))
    assert documents[0]["metadata"]["name"] == "ssl-keys"
    assert {*SIX, "ca.crt", "ca.pin", "trust.jks", "trust.p12"} == set(documents[0]["data"])
    assert {each["metadata"]["name"] for each in documents} >= {"ssl-keys-redis", "ssl-keys-worker"}
    for document in documents:
        assert document["kind"] == "Secret"
        for name, text in document["data"].items():
            data = base64.b64decode(text)
            if name.endswith((".crt", ".csr")):
                assert data.startswith((b"-----BEGIN CERTIFICATE-----", b"-----BEGIN CERTIFICATE REQUEST-----"))
                assert b"PRIVATE" not in data
            else:
                assert data[:8] == b"GRAFS_PF", name


def test_a_sealed_file_opens_with_the_key_at_its_own_place_alone(folder):
    documents = yaml.safe_load_all((folder / "keys.yaml").read_text())
    data = {each["metadata"]["name"]: each["data"] for each in documents}
    sealed = base64.b64decode(data["ssl-keys-redis"]["tls.key"])
    assert (
        sealing.unseal_bytes(sealed, KEY, stored_path="keys/redis/tls.key") == (folder / "redis/tls.key").read_bytes()
    )
    with pytest.raises(sealing.WrongPath):
        sealing.unseal_bytes(sealed, KEY, stored_path="keys/worker/tls.key")


# Renewal


def test_a_renewal_replaces_leafs_and_stores_and_keeps_the_ca(folder, authority, password, now, settings):
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    before = {path: data for path, data in before.items() if not path.parts[0].startswith("..")}
    generate.renew(folder, authority, password, sealing_key=KEY, now=now + timedelta(days=1))
    kept = {str(path) for path, data in before.items() if (folder / path).read_bytes() == data}
    assert {path for path in kept if not path.endswith(("ca.crt", "ca.pin"))} == {"keys.json"}
    assert "ca.crt" in kept
    assert leaf(folder / "redis/ca.crt") == leaf(folder / "ca.crt")
    assert generate.read_settings(folder) == settings
    generate.renew(folder, authority, password, sealing_key=KEY, now=now + timedelta(days=2))
    assert len([path for path in folder.iterdir() if path.name.startswith("..2")]) == 2  # this one and the one before


def test_nobody_ever_reads_half_a_renewal(folder, authority, password, now):
    done, mixed, looked = threading.Event(), [], 0

    def look():
        nonlocal looked
        while not done.is_set():
            place = os.open(folder / "..data", os.O_RDONLY | os.O_DIRECTORY)  # as a reader of two files should
            try:
                pem = (folder / "redis/tls.pem").read_bytes()
            finally:
                os.close(place)
            key = keys.load_private_key(Secret(pem))
            certificate = keys.load_certificates(pem[pem.index(b"-----BEGIN CERT") :])[0]
            looked += 1
            if keys.spki(key.public_key()) != keys.spki(keys.public_key(certificate)):
                mixed.append(pem)

    reader = threading.Thread(target=look)
    reader.start()
    for turn in range(5):
        generate.renew(folder, authority, password, sealing_key=KEY, now=now + timedelta(hours=turn))
    done.set()
    reader.join()
    assert looked > 0
    assert not mixed


def test_a_renewal_says_when_it_is_due(folder, now):
    assert not generate.is_due(folder, now=now, before=timedelta(days=30))
    assert generate.is_due(folder, now=now + timedelta(days=61), before=timedelta(days=30))


def test_a_renewal_needs_the_folder_and_the_ca_it_was_made_under(folder, tmp_path, password, now):
    other = Authority.create("another CA", now=now)
    with pytest.raises(keys.KeyMismatch):
        generate.renew(folder, other, password, sealing_key=KEY, now=now)
    (tmp_path / "plain").mkdir()
    for text in (None, b"{", b"[]", b'{"parts": 3, "key": "ec", "days": 1, "secret": "x"}', b"[" * 100_000):
        if text is not None:
            (tmp_path / "plain/keys.json").write_bytes(text)
        with pytest.raises(NotAKeysFolder) as refused:
            generate.renew(tmp_path / "plain", other, password, sealing_key=KEY, now=now)
        assert refused.value.code == "SR-KEYS-FOLDER"


def test_what_is_there_is_not_overwritten(folder, authority, password, settings, now):
    with pytest.raises(disk.AlreadyThere):
        generate.generate(folder, authority, password, settings, sealing_key=KEY, now=now)


def test_no_leaf_lives_longer_than_browsers_allow(settings):
    for days in (0, 398):
        with pytest.raises(TooManyDays) as refused:
            Settings(parts=settings.parts, days=days)
        assert refused.value.code == "SR-KEYS-DAYS"


@pytest.mark.parametrize("text", [b"", b"abc12", b"onlyletters", b"1234567890", b"with blank 1", b"h\xc3\xb6hle12345",
                                  b"two\nlines1", b"x1" * 65])  # fmt: skip
def test_a_weak_password_protects_nothing(text):
    with pytest.raises(WeakStorePassword) as refused:
        password_of(Secret(text))
    assert refused.value.code == "SR-KEYSTORE-WEAK-PASSWORD"


def test_a_random_password_is_long_and_fit():
    with new_password().reveal() as first, password_of(Secret(b"abcdef7\r\n")).reveal() as second:
        assert len(first) == 32
        assert second == b"abcdef7"
