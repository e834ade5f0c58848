"""PKCS #12: keys and trust, as Java and OpenSSL read them."""

import pytest

from strongroom.pki.keys import BadPrivateKey
from strongroom.pki.keystores.entries import BadKeyStore, KeyEntry, WrongStorePassword
from strongroom.pki.keystores.parts import KeyKind
from strongroom.pki.keystores.pkcs12 import read_pkcs12, write_key_store, write_trust_store
from strongroom.secret import Secret


@pytest.mark.parametrize("kind", list(KeyKind))
def test_what_is_written_is_read(key_entry, password, kind):
    entry = key_entry(kind)
    assert read_pkcs12(write_key_store(entry, password), password) == (entry,)


def test_a_trust_store_holds_certificates_alone(trusted, password):
    assert read_pkcs12(write_trust_store([trusted], password), password) == (trusted,)


def test_openssl_opens_it_with_aes_256(key_entry, password, password_file, run, tmp_path):
    (tmp_path / "k.p12").write_bytes(write_key_store(key_entry(), password))
    said = run("openssl", "pkcs12", "-in", tmp_path / "k.p12", "-passin", f"file:{password_file}", "-nokeys")
    assert said.count("BEGIN CERTIFICATE") == 2
    shown = run("openssl", "asn1parse", "-inform", "DER", "-in", tmp_path / "k.p12")
    assert "sha1" not in shown.lower()


def test_keytool_sees_a_trusted_certificate(trusted, password, password_file, run, tmp_path):
    (tmp_path / "t.p12").write_bytes(write_trust_store([trusted], password))
    listed = run("keytool", "-list", "-keystore", tmp_path / "t.p12", "-storepass:file", password_file)
    assert "trustedCertEntry" in listed


def test_another_password_and_other_bytes_are_refused(key_entry, password):
    store = write_key_store(key_entry(), password)
    for data, secret in ((store, Secret(b"another-1")), (store[:-1], password), (b"\x30\x03\x02\x01\x03", password)):
        with pytest.raises(WrongStorePassword):
            read_pkcs12(data, secret)
    for data in (b"", b"PK\x03\x04", b"\x30" * (2 * 1024 * 1024)):
        with pytest.raises(BadKeyStore):
            read_pkcs12(data, password)


def test_a_key_that_is_none_is_not_stored(key_entry, password):
    entry = key_entry()
    with pytest.raises(BadPrivateKey):
        write_key_store(KeyEntry(alias="k", key=Secret(b"no key"), chain=entry.chain), password)
