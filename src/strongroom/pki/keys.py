"""Private keys and certificates as PEM: load them strictly, compare them, and know those that the world knows."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from strongroom.errors import BadInput, Refused
from strongroom.secret import Secret

MAX_PEM_BYTES: Final = 256 * 1024
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

# SHA-256 of the SubjectPublicKeyInfo of keys whose private half lies in the reference solution's public repository.
PUBLISHED_KEYS: Final = {
    "2d5ef972430cb2ad8d1884674008ff77c6896c4ddade574b701591924c39ffe5": "ssl/ca.key of the reference solution",
    "300e257115dbb4bcf2f3fd4cb79c67d10d14c3ebce4e2dac1b595ba3eb4cd8c6": "ssl/server.key of the reference solution",
    "6703a04285f61bf2f79b143b1841435d503b448c3df1db998e9aebc7f05d3815": "the Mbed TLS sample server key",
}
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9][A-Z0-9 ]{0,40})-----([A-Za-z0-9+/=\s]{0,262144}?)-----END \1-----")
# What `cryptography` raises for X.509 that it cannot make sense of.
UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
KEY_LABELS: Final = frozenset({b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY"})


class BadCertificate(BadInput):
    """A certificate cannot be read."""

    code = "SR-CERTIFICATE"
    fix = "Give a certificate in PEM form, as openssl x509 prints it."


class BadPrivateKey(BadInput):
    """A private key cannot be read, or is of a kind that TLS here does not use."""

    code = "SR-PRIVATE-KEY"
    fix = "Give an unencrypted RSA, P-256 or P-384 key in PEM form."


class KeyMismatch(BadInput):
    """A private key does not belong to its certificate."""

    code = "SR-KEY-MISMATCH"
    fix = "Find the key that the certificate was made for, or make a new pair with strongroom certs."


class PublishedKey(Refused):
    """The private half of this key is public: anybody can use it."""

    code = "SR-PUBLISHED-KEY"
    fix = "Make keys of your own with strongroom init and strongroom certs."


def blocks(pem: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield label and DER of every PEM block; base64 may be on one line, as in the reference solution's ssl.cfg."""
    if len(pem) > MAX_PEM_BYTES:
        raise BadCertificate(f"PEM text of {len(pem)} bytes is longer than {MAX_PEM_BYTES}")
    for match in _BLOCK.finditer(pem):
        try:
            yield match[1], base64.b64decode(b"".join(match[2].split()), validate=True)
        except binascii.Error:
            raise BadCertificate(f"the PEM block {match[1].decode()!r} does not hold base64") from None


def to_pem(label: bytes, der: bytes) -> bytes:
    """Return a PEM block with lines of 64 characters."""
    text = base64.b64encode(der)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN " + label + b"-----", *lines, b"-----END " + label + b"-----", b""])


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """Return every certificate in `pem`, at least one, in order; private keys in it are refused."""
    found = list(blocks(pem))
    if not found:
        raise BadCertificate("no certificate in PEM form is there")
    for label, _ in found:
        if label != b"CERTIFICATE":
            raise BadCertificate(f"a certificate was expected, the PEM block is {label.decode()!r}")
    return [load_certificate_der(der) for _, der in found]


def load_certificate_der(der: bytes) -> x509.Certificate:
    """Return one certificate whose key, dates and extensions can be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.extensions
        _ = certificate.subject, certificate.issuer, certificate.signature_hash_algorithm
        if certificate.serial_number <= 0:  # `cryptography` only warns, and warning filters are not for threads
            raise ValueError("its serial number is not positive")
    except (Warning, *UNREADABLE) as problem:
        raise BadCertificate(f"a certificate cannot be read: {str(problem)[:160]}") from None
    public_key(certificate)
    return certificate


def public_key(certificate: x509.Certificate) -> PublicKey:
    """Return the key of a certificate; raise `BadCertificate` unless it is RSA or on a NIST curve."""
    try:
        key = certificate.public_key()
    except UNREADABLE:
        raise BadCertificate("the certificate's key is of an unknown type") from None
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise BadCertificate(f"the certificate's key is of the type {type(key).__name__}, not RSA or elliptic curve")
    return key


def load_private_key(pem: Secret) -> PrivateKey:
    """Return the one unencrypted private key in `pem`."""
    with pem.reveal() as raw:
        found = [der for label, der in _key_blocks(raw) if label in KEY_LABELS]
    if len(found) != 1:
        raise BadPrivateKey(f"{len(found)} unencrypted private keys in PEM form are there, one was expected")
    try:
        key = load_der_private_key(found[0], password=None)
    except UNREADABLE:
        raise BadPrivateKey("the private key cannot be read") from None  # OpenSSL's text might quote the key
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise BadPrivateKey(f"the private key is of the type {type(key).__name__}, not RSA or elliptic curve")
    return key


def _key_blocks(raw: bytes) -> list[tuple[bytes, bytes]]:
    try:
        return list(blocks(raw))
    except BadCertificate as problem:
        raise BadPrivateKey(problem.sentence) from None


def private_pem(key: PrivateKey) -> Secret:
    """Return a private key as PKCS #8 PEM."""
    return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(Encoding.PEM)


def spki(key: PublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo of a key, DER."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def check_match(certificate: x509.Certificate, key: PrivateKey, *, what: str) -> None:
    """Raise `KeyMismatch` unless `key` belongs to `certificate`."""
    if not hmac.compare_digest(spki(public_key(certificate)), spki(key.public_key())):
        raise KeyMismatch(f"{what}: the private key does not belong to the certificate")


def published_as(key: PublicKey) -> str | None:
    """Return where the private half of `key` was published, or None."""
    return PUBLISHED_KEYS.get(hashlib.sha256(spki(key)).hexdigest())


def check_not_published(key: PublicKey) -> None:
    """Raise `PublishedKey` for a key whose private half is public."""
    where = published_as(key)
    if where is not None:
        raise PublishedKey(f"this key is {where}, published for everybody")


def is_weak(key: PublicKey) -> str | None:
    """Return why a key is weak (RSA below 2048 bits or with a small exponent, small curves), or None."""
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e
        if key.key_size < 2048 or exponent < 65537:
            return f"RSA-{key.key_size} with exponent {exponent}"
        return None
    return None if key.curve.key_size >= 256 else f"the curve {key.curve.name}"
