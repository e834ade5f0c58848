"""The owner's signing key (Ed25519): what signs bundle manifests, as PEM files."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from strongroom.errors import BadInput
from strongroom.pki.keys import MAX_PEM_BYTES, UNREADABLE
from strongroom.secret import Secret


class BadSigningKey(BadInput):
    """A signing key cannot be read or is not Ed25519."""

    code = "SR-SIGNING-KEY"
    fix = "Give signing/owner_key.pem or signing/owner_public.pem of the owner's workspace."


def signer_pem(key: Ed25519PrivateKey) -> Secret:
    """Return the private key as PKCS #8 PEM."""
    return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return the public key as PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def load_signer(pem: Secret) -> Ed25519PrivateKey:
    """Read the private key; raise `BadSigningKey`."""
    try:
        with pem.reveal() as raw:
            key = load_pem_private_key(raw[: MAX_PEM_BYTES + 1], password=None)
    except UNREADABLE:
        raise BadSigningKey("the owner's private signing key cannot be read") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadSigningKey("the owner's private signing key is not Ed25519")
    return key


def load_owner_public(pem: bytes) -> Ed25519PublicKey:
    """Read the public key that a replica checks bundles with; raise `BadSigningKey`."""
    try:
        key = load_pem_public_key(pem[: MAX_PEM_BYTES + 1])
    except UNREADABLE:
        raise BadSigningKey("the owner's public signing key cannot be read") from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadSigningKey("the owner's public signing key is not Ed25519")
    return key
