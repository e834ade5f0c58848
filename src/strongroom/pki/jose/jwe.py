"""Seal a secret to a public key, and open it: JWE in flattened JSON (RFC 7516 section 7.2.2). Pure but for randomness.

Exactly what KBS 0.4.0 speaks (specification section 7): ECDH-ES+A256KW or RSA-OAEP-256, always A256GCM, everything
under `protected`. The header is spelled as a stock client spells it again: `alg`, `enc`, the rest sorted, no spaces.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from dataclasses import dataclass, field
from typing import Any, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from strongroom.attestation.tokens.jws import base64url, base64url_text
from strongroom.errors import Tampered
from strongroom.pki.jose.canonical import canonical
from strongroom.pki.jose.jwk import (
    ECDH_ES_A256KW,
    RSA_OAEP_256,
    KeyRefused,
    PrivateKey,
    RecipientKey,
    point,
    point_members,
)
from strongroom.secret import Secret
from strongroom.wire import strict_json

A256GCM: Final = "A256GCM"
CEK_BYTES: Final = 32
IV_BYTES: Final = 12
TAG_BYTES: Final = 16
WRAPPED_BYTES: Final = CEK_BYTES + 8
MAX_JWE_BYTES: Final = 4 * 1024 * 1024
MAX_HEADER_BYTES: Final = 16 * 1024
_MEMBERS: Final = frozenset({"protected", "encrypted_key", "iv", "ciphertext", "tag"})
_OAEP: Final = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


class JweMalformed(Tampered):
    """An envelope is not the one strict form that a secret travels in, or does not open under this key."""

    code = "SR-JWE"
    fix = "Ask again. If it happens twice, somebody between you and the broker changes its answers."


@dataclass(frozen=True, slots=True)
class Material:
    """What one sealing must never share with another: content key, nonce, and the ephemeral key of an EC recipient."""

    cek: bytes = field(repr=False)
    iv: bytes
    ephemeral: ec.EllipticCurvePrivateKey | None = field(repr=False)

    @classmethod
    def fresh(cls, recipient: RecipientKey) -> Self:
        """Return random material for one sealing to `recipient`."""
        ephemeral = None
        if isinstance(recipient.public, ec.EllipticCurvePublicKey):
            ephemeral = ec.generate_private_key(recipient.public.curve)
        return cls(secrets.token_bytes(CEK_BYTES), secrets.token_bytes(IV_BYTES), ephemeral)


@dataclass(frozen=True, slots=True)
class Opened:
    """What was in an envelope, and its protected header."""

    secret: Secret
    header: dict[str, Any]


def seal(
    recipient: RecipientKey, secret: Secret, *, extra: dict[str, object] | None = None, material: Material | None = None
) -> dict[str, str]:
    """Return the envelope's five members. `extra`: protected header members whose names sort behind `epk`.

    Raises NotCanonical for an extra header that has no one spelling.
    """
    material = material or Material.fresh(recipient)
    header: dict[str, object] = {}
    if isinstance(recipient.public, ec.EllipticCurvePublicKey):
        if material.ephemeral is None:
            raise TypeError("sealing to a point takes an ephemeral key")
        header["epk"] = {"kty": "EC", **point_members(material.ephemeral.public_key())}
        wrapped = aes_key_wrap(_agree(material.ephemeral, recipient.public), material.cek)
    else:
        wrapped = recipient.public.encrypt(material.cek, _OAEP)
    protected = base64url_text(_spelled(recipient.algorithm, header | (extra or {})))
    with secret.reveal() as raw:
        sealed = AESGCM(material.cek).encrypt(material.iv, raw, protected)
    values = (protected, *map(base64url_text, (wrapped, material.iv, sealed[:-TAG_BYTES], sealed[-TAG_BYTES:])))
    names = ("protected", "encrypted_key", "iv", "ciphertext", "tag")
    return {name: value.decode("ascii") for name, value in zip(names, values, strict=True)}


def open_sealed(key: PrivateKey, envelope: bytes) -> Opened:
    """Return what was sealed to `key`. Raises JweMalformed, whatever the bytes are."""
    value = strict_json.loads(envelope, what="the envelope", error=JweMalformed, max_bytes=MAX_JWE_BYTES, max_depth=2)
    if not isinstance(value, dict) or value.keys() != _MEMBERS:
        raise JweMalformed(f"the envelope's members are not {', '.join(sorted(_MEMBERS))}")
    protected = _ascii(value["protected"], "protected")
    if len(protected) > MAX_HEADER_BYTES:
        raise JweMalformed("the envelope's header is too long")
    header = _header(base64url(protected, what="the envelope's header", error=JweMalformed))
    wrapped, iv, ciphertext, tag = (
        base64url(_ascii(value[name], name), what=f"{name} of the envelope", error=JweMalformed)
        for name in ("encrypted_key", "iv", "ciphertext", "tag")
    )
    if len(iv) != IV_BYTES or len(tag) != TAG_BYTES:
        raise JweMalformed(f"iv and tag have {len(iv)} and {len(tag)} bytes, wanted {IV_BYTES} and {TAG_BYTES}")
    cek = _unwrap(key, header, wrapped)
    try:
        plain = AESGCM(cek).decrypt(iv, ciphertext + tag, protected)
    except InvalidTag:
        raise JweMalformed("the envelope does not open: something in it was changed") from None
    return Opened(Secret(plain), header)


def _spelled(algorithm: str, rest: dict[str, object]) -> bytes:
    """Return the header as a stock client spells it when it computes the AAD; `alg` and `enc` go first."""
    first = canonical({"alg": algorithm, "enc": A256GCM})
    behind = canonical(rest)
    text = first if behind == b"{}" else first[:-1] + b"," + behind[1:]
    if not text.isascii():
        raise JweMalformed("a header of ours is not ASCII")
    return text


def _header(data: bytes) -> dict[str, Any]:
    header = strict_json.loads(data, what="the envelope's header", error=JweMalformed, max_depth=4)
    if not isinstance(header, dict) or header.get("enc") != A256GCM:
        raise JweMalformed(f"the envelope's header does not say {A256GCM}")
    if unknown := header.keys() - {"alg", "enc", "epk", "sr"}:
        raise JweMalformed(f"the envelope's header holds {min(unknown)[:32]!r}")
    return header


def _unwrap(key: PrivateKey, header: dict[str, Any], wrapped: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        if header.get("alg") != RSA_OAEP_256 or "epk" in header:
            raise JweMalformed(f"the envelope is not {RSA_OAEP_256}, which is what our key is for")
        try:
            cek = key.decrypt(wrapped, _OAEP)
        except ValueError:
            raise JweMalformed("the envelope is sealed to another key") from None
    else:
        if header.get("alg") != ECDH_ES_A256KW or len(wrapped) != WRAPPED_BYTES:
            raise JweMalformed(f"the envelope is not {ECDH_ES_A256KW} with a key of {WRAPPED_BYTES} bytes")
        try:
            cek = aes_key_unwrap(_agree(key, _ephemeral(header, key)), wrapped)
        except InvalidUnwrap:
            raise JweMalformed("the envelope is sealed to another key") from None
    if len(cek) != CEK_BYTES:
        raise JweMalformed(f"the envelope's content key has {len(cek)} bytes, wanted {CEK_BYTES}")
    return cek


def _ephemeral(header: dict[str, Any], key: ec.EllipticCurvePrivateKey) -> ec.EllipticCurvePublicKey:
    epk = header.get("epk")
    if not isinstance(epk, dict) or epk.keys() != {"kty", "crv", "x", "y"} or epk["kty"] != "EC":
        raise JweMalformed("the envelope's header has no epk of kty, crv, x and y")
    if not all(isinstance(member, str) and member.isascii() for member in epk.values()):
        raise JweMalformed("a member of epk is not an ASCII text")
    try:
        public = point(epk)
    except KeyRefused as problem:
        raise JweMalformed(f"epk: {problem.sentence}") from None
    if public.curve.name != key.curve.name:
        raise JweMalformed("epk lies on another curve than our key")
    return public


def _agree(private: ec.EllipticCurvePrivateKey, public: ec.EllipticCurvePublicKey) -> bytes:
    """Return the key-encryption key: Concat KDF of NIST SP 800-56A with SHA-256 (RFC 7518 section 4.6.2)."""
    algorithm = ECDH_ES_A256KW.encode("ascii")
    shared = private.exchange(ec.ECDH(), public)
    info = struct.pack(">I", len(algorithm)) + algorithm + struct.pack(">III", 0, 0, 256)
    return hashlib.sha256(struct.pack(">I", 1) + shared + info).digest()


def _ascii(value: object, name: str) -> bytes:
    if not isinstance(value, str) or not value.isascii():
        raise JweMalformed(f"{name} of the envelope is not an ASCII text")
    return value.encode("ascii")
