"""Sign a token of ours, and read one back: compact JWS with ES256 and nothing else (RFC 7515, RFC 7518). Pure.

A token brings its signer's key in its header because KBS clients and brokers look there. That key is compared with the
one that we expect, never used because it is there.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from strongroom.attestation.tokens.jws import base64url, base64url_text
from strongroom.errors import Refused
from strongroom.pki.jose.canonical import canonical
from strongroom.pki.jose.jwk import point_members
from strongroom.wire import strict_json

ES256: Final = "ES256"
MAX_TOKEN_BYTES: Final = 64 * 1024
_HALF: Final = 32
_ECDSA: Final = ec.ECDSA(hashes.SHA256())


class TokenUnsound(Refused):
    """A token is not one that this broker has signed."""

    code = "SR-KBS-TOKEN"
    fix = "Attest again: a token counts at the brokers of one store, for a few minutes."


def signer_jwk(key: ec.EllipticCurvePublicKey, chain: Sequence[bytes] = ()) -> dict[str, object]:
    """Return the header member `jwk` of a P-256 signer; `chain`: its certificates, DER, leaf first."""
    members: dict[str, object] = {"alg": ES256, "kty": "EC", **point_members(key)}
    if members["crv"] != "P-256":
        raise TypeError("ES256 is for P-256 alone")
    if chain:
        members["x5c"] = [base64.b64encode(certificate).decode("ascii") for certificate in chain]
    return members


def sign(payload: dict[str, Any], key: ec.EllipticCurvePrivateKey, *, chain: Sequence[bytes] = ()) -> str:
    """Return the signed compact token over `payload`."""
    header = {"typ": "JWT", "alg": ES256, "jwk": signer_jwk(key.public_key(), chain)}
    signed = base64url_text(canonical(header)) + b"." + base64url_text(canonical(payload))
    r, s = decode_dss_signature(key.sign(signed, _ECDSA))
    signature = base64url_text(r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big"))
    return (signed + b"." + signature).decode("ascii")


def read_signed(token: str, key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    """Return the payload of a token that the holder of `key` signed; times are the caller's. Raises TokenUnsound."""
    if len(token) > MAX_TOKEN_BYTES or not token.isascii():
        raise TokenUnsound("the token is too long, or not ASCII")
    parts = token.encode("ascii").split(b".", 3)
    if len(parts) != 3:
        raise TokenUnsound("the token is not three parts joined by dots")
    header, payload, signature = (base64url(part, what="a part of the token", error=TokenUnsound) for part in parts)
    _check_header(_object(header), key)
    if len(signature) != 2 * _HALF:
        raise TokenUnsound(f"the token's signature has {len(signature)} bytes, wanted {2 * _HALF}")
    r, s = (int.from_bytes(signature[start : start + _HALF], "big") for start in (0, _HALF))
    try:
        key.verify(encode_dss_signature(r, s), parts[0] + b"." + parts[1], _ECDSA)
    except InvalidSignature:
        raise TokenUnsound("the token's signature does not hold") from None
    return _object(payload)


def _check_header(header: dict[str, Any], key: ec.EllipticCurvePublicKey) -> None:
    if header.get("alg") != ES256 or header.get("typ") != "JWT":
        raise TokenUnsound("the token is not a JWT signed with ES256")
    if unknown := header.keys() - {"typ", "alg", "jwk"}:
        raise TokenUnsound(f"the token's header holds {min(unknown)[:32]!r}")
    named = header.get("jwk")
    if not isinstance(named, dict):
        raise TokenUnsound("the token does not name its signer")
    ours = signer_jwk(key)
    if not hmac.compare_digest(canonical({name: str(named.get(name)) for name in ours}), canonical(ours)):
        raise TokenUnsound("the token names another signer than this broker")


def _object(data: bytes) -> dict[str, Any]:
    value = strict_json.loads(data, what="a part of the token", error=TokenUnsound, max_depth=12)
    if not isinstance(value, dict):
        raise TokenUnsound("a part of the token is not a JSON object")
    return value
