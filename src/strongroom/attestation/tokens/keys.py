"""The keys that tokens may be signed with: a JWK set (RFC 7517) that the owner pinned, or fetched from a named service.

A set belongs to one issuer and one address. It is of the simulated domain as soon as it carries the mark of a local
double, or does not belong to a real service's issuer and address; no option changes that.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from strongroom.attestation.fields import Fields
from strongroom.attestation.tokens.jws import base64url
from strongroom.errors import BadInput
from strongroom.wire import der, strict_json

MAX_KEY_SET_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 64
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
EXPONENT: Final = 65537
SIMULATED_MARK: Final = "strongroom_simulated"  # a member of a double's key set, and a claim of its tokens
MAX_CERTIFICATE_TEXT: Final = 16 * 1024


class KeySetUnusable(BadInput):
    """A key set for attestation tokens cannot be used as it is."""

    code = "SR-TOKEN-KEYS"
    fix = "Fetch the set anew from the service's /certs, over TLS, and compare the key ids with a second source."


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """One RSA key of a set."""

    key_id: str
    public_key: RSAPublicKey
    algorithm: str | None  # what the set says it is for; None: any that the profile allows
    not_before: datetime | None  # of the certificate it came in, if it came in one
    not_after: datetime | None

    @property
    def thumbprint(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, in hex."""
        spki = self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(spki).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """The keys of one issuer, by key id."""

    issuer: str  # what `iss` must be, to the letter
    keys: Mapping[str, TokenKey]
    url: str | None  # where the set is published, or would be: the only `jku` that a token may name
    simulated: bool  # marked as a local double's

    @classmethod
    def parse(cls, data: bytes, *, issuer: str, url: str | None = None) -> KeySet:
        """Return the RSA signing keys of a JWK set; keys of other kinds and uses are left out.

        Raises KeySetUnusable for anything else than a sound set with at least one such key.
        """
        value = strict_json.loads(
            data, what="the key set", error=KeySetUnusable, max_bytes=MAX_KEY_SET_BYTES, max_depth=6
        )
        fields = Fields.of(value, what="the key set", error=KeySetUnusable)
        entries = fields.objects("keys")
        if len(entries) > MAX_KEYS:
            raise KeySetUnusable(f"the key set has {len(entries)} keys, at most {MAX_KEYS} are read")
        keys: dict[str, TokenKey] = {}
        for entry in entries:
            if not _is_for_signatures(entry):
                continue
            key = _key(entry)
            if key.key_id in keys:
                raise KeySetUnusable(f"the key set names the key {key.key_id[:64]!r} twice")
            keys[key.key_id] = key
        if not keys:
            raise KeySetUnusable("the key set has no RSA key for signatures")
        return cls(issuer=issuer, keys=MappingProxyType(keys), url=url, simulated=fields.has(SIMULATED_MARK))


def _is_for_signatures(entry: Fields) -> bool:
    return entry.get("kty") == "RSA" and entry.value.get("use", "sig") == "sig" and entry.has("kid")


def _key(entry: Fields) -> TokenKey:
    """Return the key of one JWK: from n and e, from the first certificate of x5c, or from both if they agree."""
    found: list[RSAPublicKey] = []
    not_before = not_after = None
    if entry.has("n") or entry.has("e"):
        found.append(_from_numbers(entry))
    if entry.has("x5c"):
        key, not_before, not_after = _from_certificate(entry)
        found.append(key)
    if not found or any(key.public_numbers() != found[0].public_numbers() for key in found):
        raise KeySetUnusable(f"the key {_identifier(entry)[:64]!r} has no key, or two that differ")
    key = found[0]
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS or key.public_numbers().e != EXPONENT:
        raise KeySetUnusable(
            f"the key {_identifier(entry)[:64]!r} is RSA-{key.key_size}, wanted {MIN_RSA_BITS} to {MAX_RSA_BITS} bits "
            f"and the exponent {EXPONENT}"
        )
    return TokenKey(
        key_id=_identifier(entry), public_key=key, algorithm=entry.text("alg") if entry.has("alg") else None,
        not_before=not_before, not_after=not_after,
    )  # fmt: skip


def _identifier(entry: Fields) -> str:
    return entry.text("kid")


def _from_numbers(entry: Fields) -> RSAPublicKey:
    modulus, exponent = (
        int.from_bytes(base64url(_ascii(entry.get(name)), what=f"{name} of a key", error=KeySetUnusable), "big")
        for name in ("n", "e")
    )
    if modulus.bit_length() > MAX_RSA_BITS or exponent != EXPONENT:
        raise KeySetUnusable(f"a key has {modulus.bit_length()} bits, or another exponent than {EXPONENT}")
    try:
        return RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        raise KeySetUnusable("the numbers of a key make no RSA key") from None


def _from_certificate(entry: Fields) -> tuple[RSAPublicKey, datetime, datetime]:
    """Return the key and the dates of the first certificate; only the set's own origin makes it believed."""
    certificates = entry.items("x5c")
    if not certificates:
        raise KeySetUnusable("x5c of a key is empty")
    try:
        encoded = base64.b64decode(_ascii(certificates[0]), validate=True)
    except (binascii.Error, ValueError):
        raise KeySetUnusable("x5c of a key is not base64") from None
    return _read_certificate(encoded)


def _read_certificate(data: bytes) -> tuple[RSAPublicKey, datetime, datetime]:
    outer = der.read_whole(data, der.SEQUENCE, what="a key's certificate", error=KeySetUnusable)
    signed = outer.enter(der.SEQUENCE, "signed part")
    signed.optional(der.context(0), "version")
    signed.read(der.INTEGER, "serial number")
    signed.read(der.SEQUENCE, "signature algorithm")
    signed.read(der.SEQUENCE, "issuer")
    validity = signed.enter(der.SEQUENCE, "validity")
    not_before, not_after = validity.time("not before"), validity.time("not after")
    signed.read(der.SEQUENCE, "subject")
    spki = signed.read(der.SEQUENCE, "public key").encoded
    try:
        key = load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeySetUnusable("the key in a certificate cannot be read") from None
    if not isinstance(key, RSAPublicKey):
        raise KeySetUnusable("the key in a certificate is not RSA")
    return key, not_before, not_after


def _ascii(value: object) -> bytes:
    if not isinstance(value, str) or len(value) > MAX_CERTIFICATE_TEXT or not value.isascii():
        raise KeySetUnusable("a key of the set is not written in base64")
    return value.encode("ascii")
