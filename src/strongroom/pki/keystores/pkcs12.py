"""PKCS #12 stores that Java and OpenSSL accept: a key with its chain, or certificates that Java takes as trusted.

Pure but for fresh salts. Keys and certificates are under AES-256 with PBKDF2, the checksum is HMAC-SHA-256: Java reads
that from 8u301 on. RFC 7292; Java's mark for trusted certificates is the attribute 2.16.840.1.113894.746875.1.1.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    pkcs12,
)

from strongroom.pki.keys import UNREADABLE, BadPrivateKey, PrivateKey, load_certificate_der
from strongroom.pki.keystores.entries import (
    MAX_ENTRIES,
    MAX_STORE_BYTES,
    BadKeyStore,
    Entry,
    KeyEntry,
    TrustedEntry,
    WrongStorePassword,
)
from strongroom.secret import Secret


def write_key_store(entry: KeyEntry, password: Secret) -> bytes:
    """Return a PKCS #12 store with one private key and its chain."""
    first, *others = (load_certificate_der(der) for der in entry.chain)
    with entry.key.reveal() as raw, password.reveal() as words:
        return pkcs12.serialize_key_and_certificates(
            entry.alias.lower().encode(), _key_of(raw), first, others, BestAvailableEncryption(words)
        )


def write_trust_store(entries: Iterable[TrustedEntry], password: Secret) -> bytes:
    """Return a PKCS #12 store of certificates that Java takes as trusted ones."""
    found = [
        pkcs12.PKCS12Certificate(load_certificate_der(each.certificate), each.alias.lower().encode())
        for each in entries
    ]
    with password.reveal() as words:
        return pkcs12.serialize_java_truststore(found, BestAvailableEncryption(words))


def read_pkcs12(data: bytes, password: Secret) -> tuple[Entry, ...]:
    """Return a store's entries, the key opened. Raises BadKeyStore, WrongStorePassword."""
    if len(data) > MAX_STORE_BYTES:
        raise BadKeyStore(f"a key store of {len(data)} bytes is longer than {MAX_STORE_BYTES}")
    if data[:1] != b"\x30":
        raise BadKeyStore("the bytes are no PKCS #12 store")
    try:
        # A store in BER is read as OpenSSL reads it; that the library will one day refuse it helps no owner of one.
        with warnings.catch_warnings(), password.reveal() as words:
            warnings.filterwarnings("ignore", message="PKCS#12 bundle could not be parsed as DER")
            found = pkcs12.load_pkcs12(data, words)
    except UNREADABLE as problem:
        # The library says "Invalid password or PKCS12 data" for both, and is right: nothing tells them apart.
        raise WrongStorePassword(f"the PKCS #12 store does not open: {str(problem)[:80]}") from None
    if len(found.additional_certs) > MAX_ENTRIES:
        raise BadKeyStore(f"{len(found.additional_certs)} certificates are more than {MAX_ENTRIES}")
    others = tuple(_der(each.certificate) for each in found.additional_certs)
    if found.key is None:
        return tuple(
            TrustedEntry(alias=(each.friendly_name or b"").decode("utf-8", "replace"), certificate=der)
            for each, der in zip(found.additional_certs, others, strict=True)
        )
    if found.cert is None:
        raise BadKeyStore("the PKCS #12 store has a key without its certificate")
    key = found.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    alias = (found.cert.friendly_name or b"").decode("utf-8", "replace")
    return (KeyEntry(alias=alias, key=Secret(key), chain=(_der(found.cert.certificate), *others)),)


def _key_of(raw: bytes) -> PrivateKey:
    try:
        key = load_der_private_key(raw, password=None)
    except UNREADABLE:
        raise BadPrivateKey("a key store was to hold a key that cannot be read") from None
    if not isinstance(key, PrivateKey):
        raise BadPrivateKey(f"a key store was to hold a key of the type {type(key).__name__}")
    return key


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
