"""JKS: what we write Java reads, what Java writes we read, and nothing else gets in."""

from datetime import UTC, datetime

import pytest

from strongroom.pki.keystores.entries import BadKeyStore, KeyEntry, TrustedEntry, WrongStorePassword
from strongroom.pki.keystores.jks import read_jks, write_jks
from strongroom.pki.keystores.parts import KeyKind
from strongroom.secret import Secret

NOW = datetime.now(UTC)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_what_is_written_is_read(key_entry, trusted, password, now, kind):
    entries = (key_entry(kind), trusted)
    assert read_jks(write_jks(entries, password, now=now), password) == entries


def test_keytool_lists_a_key_with_its_chain_and_a_trusted_certificate(key_entry, trusted, password, password_file, run):
    store = password_file.with_name("s.jks")
    store.write_bytes(write_jks([key_entry(), trusted], password, now=NOW))
    listed = run("keytool", "-list", "-v", "-keystore", store, "-storepass:file", password_file)
    assert "Keystore type: JKS" in listed
    assert "Entry type: PrivateKeyEntry" in listed
    assert "Certificate chain length: 2" in listed
    assert "Entry type: trustedCertEntry" in listed


def test_a_store_that_keytool_made_is_read(password, password_file, run, tmp_path):
    store = tmp_path / "k.jks"
    run("keytool", "-genkeypair", "-storetype", "JKS", "-keystore", store, "-storepass:file", password_file,
        "-keypass:file", password_file, "-alias", "Mine", "-keyalg", "EC", "-groupname", "secp256r1",
        "-dname", "CN=localhost")  # fmt: skip
    (entry,) = read_jks(store.read_bytes(), password)
    assert isinstance(entry, KeyEntry)
    assert entry.alias == "mine"
    assert len(entry.chain) == 1


@pytest.mark.parametrize("alias", ["a", "höhle", "\0nul", "\U0001f511 key"])
def test_aliases_are_in_javas_own_utf_8(trusted, password, now, alias):
    named = TrustedEntry(alias=alias, certificate=trusted.certificate)
    assert read_jks(write_jks([named], password, now=now), password)[0].alias == alias.lower()


def test_another_password_and_every_changed_byte_are_noticed(key_entry, password, now):
    store = write_jks([key_entry()], password, now=now)
    with pytest.raises(WrongStorePassword) as wrong:
        read_jks(store, Secret(b"another-1"))
    assert wrong.value.code == "SR-KEYSTORE-PASSWORD"
    for at in range(4, len(store), 37):
        changed = bytearray(store)
        changed[at] ^= 1
        with pytest.raises(WrongStorePassword):
            read_jks(bytes(changed), password)


def test_what_is_no_store_or_says_too_much_is_refused(password, now, monkeypatch):
    from strongroom.pki.keystores import jks

    def sealed(body):
        return body + jks._checksum(password, body)

    head = bytes.fromhex("feedfeed")
    for data in (
        b"", b"\x30" * 200, bytes(2 * 1024 * 1024),
        sealed(head + (1).to_bytes(4, "big") + bytes(4)),  # version 1
        sealed(head + (2).to_bytes(4, "big") + b"\xff\xff\xff\xff"),  # four billion entries
        sealed(head + (2).to_bytes(4, "big") + (1).to_bytes(4, "big")),  # one that is not there
        sealed(head + (2).to_bytes(4, "big") + bytes(4) + b"more"),
        sealed(head + (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + (9).to_bytes(4, "big") + bytes(30)),
    ):  # fmt: skip
        with pytest.raises(BadKeyStore) as refused:
            read_jks(data, password)
        assert refused.value.code == "SR-KEYSTORE"


def test_a_chain_and_a_number_of_entries_have_ends(key_entry, trusted, password, now):
    entry = key_entry()
    long = KeyEntry(alias="k", key=entry.key, chain=entry.chain * 9)
    for entries in ([long], [KeyEntry(alias="k", key=entry.key, chain=())], [trusted] * 257,
                    [TrustedEntry(alias="x" * 513, certificate=b"c")]):  # fmt: skip
        with pytest.raises(BadKeyStore):
            write_jks(entries, password, now=now)


def test_the_same_key_looks_different_each_time(key_entry, password, now):
    entry = key_entry()
    assert write_jks([entry], password, now=now) != write_jks([entry], password, now=now)
