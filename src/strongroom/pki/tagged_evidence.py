"""TCG DICE tagged evidence as Gramine 1.8 and later writes it: CBOR 60000([quote, claims]), claims naming the key.

Pure. Source: TCG DICE Attestation Architecture; Gramine `ra_tls_attest.c`. The claims are hashed exactly as received
and never encoded again.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from strongroom.errors import Tampered
from strongroom.wire import cbor

EVIDENCE_TAG: Final = 60000
MIN_QUOTE_BYTES: Final = 436  # header 48, report body 384, signature length 4
HASHES: Final = {1: "sha256", 7: "sha384", 8: "sha512"}  # IANA "Named Information" numbers
KEY_HASH: Final = "pubkey-hash"
NONCE: Final = "nonce"


class TaggedEvidenceMalformed(Tampered):
    """The DICE extension of an RA-TLS certificate is not a tagged pair of quote and claims."""

    code = "SR-RATLS-TAGGED-EVIDENCE"
    fix = "Have the peer make a new certificate with an unmodified RA-TLS library."


class ClaimsMalformed(Tampered):
    """The claims of an RA-TLS certificate are not a map of named claims."""

    code = "SR-RATLS-CLAIMS"
    fix = "Have the peer make a new certificate with an unmodified RA-TLS library."


class KeyHashMissing(Tampered):
    """The claims do not name the certificate's key, so that anyone with a quote could use them."""

    code = "SR-RATLS-NO-KEY-HASH"
    fix = "Refuse this peer: its claims must hold pubkey-hash."


class KeyHashMismatch(Tampered):
    """The claims name another key than the certificate's."""

    code = "SR-RATLS-KEY-HASH"
    fix = "Refuse this peer: its evidence was made for another key."


class NonceMismatch(Tampered):
    """The evidence does not answer the nonce that this verifier sent."""

    code = "SR-RATLS-NONCE"
    fix = "Ask the peer for evidence over the nonce of this connection."


@dataclass(frozen=True, slots=True)
class TaggedEvidence:
    """A quote and the claims bytes it is to be bound to, as received."""

    quote: bytes
    claims: bytes


def claims_for(spki: bytes, *, nonce: bytes | None = None) -> bytes:
    """Return the claims that bind `spki` (SubjectPublicKeyInfo, DER), byte for byte as Gramine writes them."""
    key_hash = cbor.encode((1, hashlib.sha256(spki).digest()))
    pairs: tuple[tuple[cbor.Item, cbor.Item], ...] = ((KEY_HASH, key_hash),)
    return cbor.encode(cbor.Map(pairs if nonce is None else (*pairs, (NONCE, nonce))))


_USUAL_HEAD: Final = claims_for(b"")[:-32]  # the digest stands at the end


def are_usual(claims: bytes, spki: bytes) -> bool:
    """Return whether claims are, byte for byte, what `claims_for` writes for this key: then they say nothing else."""
    return hmac.compare_digest(claims, _USUAL_HEAD + hashlib.sha256(spki).digest())


# The tag, an array of two, and a byte string whose length has two bytes; behind it one whose length has one.
_USUAL_START: Final = bytes.fromhex("d9ea60 82 59")
_ONE_BYTE_LENGTH: Final = b"\x58"


def encode(evidence: TaggedEvidence) -> bytes:
    """Return the value of the DICE extension."""
    return cbor.encode(cbor.Tag(EVIDENCE_TAG, (evidence.quote, evidence.claims)))


def decode(value: bytes) -> TaggedEvidence:
    """Read the value of the DICE extension; bytes after the item are tolerated (old libcbor leaves some)."""
    return _usual(value) or _general(value)


def _usual(value: bytes) -> TaggedEvidence | None:
    """Read it where both lengths are written as Gramine writes them; None leaves everything else to `_general`."""
    if not value.startswith(_USUAL_START):
        return None
    start = len(_USUAL_START) + 2
    stop = start + int.from_bytes(value[start - 2 : start], "big")
    if value[stop : stop + 1] != _ONE_BYTE_LENGTH or stop - start < MIN_QUOTE_BYTES:
        return None
    size = value[stop + 1] if stop + 1 < len(value) else 0
    claims = value[stop + 2 : stop + 2 + size]
    return TaggedEvidence(value[start:stop], claims) if claims and len(claims) == size else None


def _general(value: bytes) -> TaggedEvidence:
    item, _ = cbor.decode_first(value, what="tagged evidence", error=TaggedEvidenceMalformed)
    if not isinstance(item, cbor.Tag) or item.number != EVIDENCE_TAG:
        raise TaggedEvidenceMalformed(f"tagged evidence does not begin with the tag {EVIDENCE_TAG}")
    match item.content:
        case (bytes() as quote, bytes() as claims):
            pass
        case _:
            raise TaggedEvidenceMalformed("tagged evidence is not an array of exactly two byte strings")
    if len(quote) < MIN_QUOTE_BYTES:
        raise TaggedEvidenceMalformed(f"the quote has {len(quote)} bytes, at least {MIN_QUOTE_BYTES} are needed")
    if not claims:
        raise TaggedEvidenceMalformed("tagged evidence holds no claims")
    return TaggedEvidence(quote, claims)


def read_claims(claims: bytes) -> dict[str, cbor.Item]:
    """Return the claims by name; nothing may follow the map, and no name may come twice."""
    item = cbor.decode(claims, what="claims", error=ClaimsMalformed)
    if not isinstance(item, cbor.Map) or not item.pairs:
        raise ClaimsMalformed("the claims are not a map with at least one entry")
    found: dict[str, cbor.Item] = {}
    for name, value in item.pairs:
        if not isinstance(name, str) or not name:
            raise ClaimsMalformed("a claim's name is not text")
        if name in found:
            raise ClaimsMalformed(f"the claim {name[:64]!r} is there twice")
        found[name] = value
    return found


def check_key_hash(claims: dict[str, cbor.Item], spki: bytes) -> None:
    """Raise unless the claims name the key `spki` (DER) by its SHA-256, SHA-384 or SHA-512."""
    if KEY_HASH not in claims:
        raise KeyHashMissing(f"the claims hold {sorted(claims)[:8]}, but no {KEY_HASH}")
    encoded = claims[KEY_HASH]
    if not isinstance(encoded, bytes):
        raise ClaimsMalformed(f"{KEY_HASH} is not a byte string")
    match cbor.decode(encoded, what=KEY_HASH, error=ClaimsMalformed):
        case (int() as algorithm, bytes() as digest) if not isinstance(algorithm, bool) and algorithm in HASHES:
            expected = hashlib.new(HASHES[algorithm], spki).digest()
        case _:
            raise ClaimsMalformed(f"{KEY_HASH} is not [algorithm, hash] with SHA-256 (1), SHA-384 (7) or SHA-512 (8)")
    if not hmac.compare_digest(digest, expected):
        raise KeyHashMismatch(
            f"the claims name the key {digest[:8].hex()}…, the certificate's is {expected[:8].hex()}…"
        )


def check_nonce(claims: dict[str, cbor.Item], nonce: bytes) -> None:
    """Raise unless the claims answer `nonce`."""
    answer = claims.get(NONCE)
    if not isinstance(answer, bytes):
        raise NonceMismatch("a nonce was sent, and the claims hold none")
    if not hmac.compare_digest(answer, nonce):
        raise NonceMismatch("the claims hold another nonce than the one sent")
