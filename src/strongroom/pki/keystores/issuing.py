"""One part's files: its key, request and certificate, and the stores that a JVM wants. Pure but for fresh keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from strongroom.pki import keys
from strongroom.pki.authority import Authority, request_for
from strongroom.pki.keys import PrivateKey
from strongroom.pki.keystores.entries import KeyEntry, TrustedEntry
from strongroom.pki.keystores.jks import write_jks
from strongroom.pki.keystores.parts import KeyKind, Part
from strongroom.pki.keystores.pkcs12 import write_key_store, write_trust_store
from strongroom.secret import Secret

MOST_DAYS: Final = 397  # what browsers take at most (CA/Browser Forum, Ballot SC31)
RSA_BITS: Final = 3072
CA_ALIAS: Final = "ca"


@dataclass(frozen=True, slots=True)
class Made:
    """A part's files by name: what everybody may read, and what only the owner may."""

    public: Mapping[str, bytes]
    private: Mapping[str, Secret]


def issue(
    part: Part, authority: Authority, password: Secret, *, kind: KeyKind, days: int, now: datetime, file_name: str
) -> Made:
    """Return a fresh key, its certificate and stores; files are called `file_name` and then .crt, .csr, .key, .pem.

    Raises BadName, AuthorityEndsFirst, WeakStorePassword.
    """
    key = fresh_key(kind)
    request = request_for(keys.private_pem(key), part.names[0])
    certificate = authority.sign_request(request, role=part.role, allowed_names=part.names, now=now, days=days)
    chained = certificate + authority.certificate_pem
    key_pem = keys.private_pem(key) if part.clear else _encrypted(key, password)
    with key_pem.reveal() as raw:
        both = Secret(raw + chained)
    public = {f"{file_name}.crt": chained, f"{file_name}.csr": request}
    private = {f"{file_name}.key": key_pem, f"{file_name}.pem": both}
    if part.stores:
        private |= _stores(part.name, key, (certificate, authority.certificate_pem), password, now)
    return Made(public, private)


def fresh_key(kind: KeyKind) -> PrivateKey:
    """Return a new private key."""
    if kind is KeyKind.RSA:
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def trust_stores(authority: Authority, password: Secret, *, now: datetime) -> dict[str, Secret]:
    """Return trust.jks and trust.p12: the CA's certificate alone.

    A store's checksum lets whoever has the file try passwords, so that it is kept as a secret, public as the
    certificate in it is.
    """
    trusted = TrustedEntry(alias=CA_ALIAS, certificate=_der(authority.certificate_pem))
    return {
        "trust.jks": Secret(write_jks([trusted], password, now=now)),
        "trust.p12": Secret(write_trust_store([trusted], password)),
    }


def _stores(alias: str, key: PrivateKey, chain: Sequence[bytes], password: Secret, now: datetime) -> dict[str, Secret]:
    entry = KeyEntry(
        alias=alias,
        key=Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())),
        chain=tuple(map(_der, chain)),
    )
    return {
        "keystore.jks": Secret(write_jks([entry], password, now=now)),
        "keystore.pkcs12": Secret(write_key_store(entry, password)),
    }


def _encrypted(key: PrivateKey, password: Secret) -> Secret:
    with password.reveal() as words:
        return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(words)))


def _der(pem: bytes) -> bytes:
    return keys.load_certificates(pem)[0].public_bytes(Encoding.DER)
