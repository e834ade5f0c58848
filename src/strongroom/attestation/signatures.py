"""ECDSA on P-256 with SHA-256, the only signature in this room: a yes or a no, never an exception.

A key that is no point on the curve and a signature that is no signature are both a plain no.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

POINT_BYTES: Final = 65  # 04 ‖ x ‖ y
RAW_SIGNATURE_BYTES: Final = 64  # r ‖ s, big-endian
KEYS_KEPT: Final = 64
_CURVE: Final = ec.SECP256R1()
_ALGORITHM: Final = ec.ECDSA(hashes.SHA256())


def is_point(point: bytes) -> bool:
    """Whether 65 bytes are an uncompressed point on P-256."""
    return _key(point) is not None


def signed_raw(point: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (64 bytes r‖s) over `message` was made with the key of `point`."""
    if len(signature) != RAW_SIGNATURE_BYTES:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return signed_der(point, encode_dss_signature(r, s), message)


def signed_der(point: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (DER, as in certificates) over `message` was made with the key of `point`."""
    key = _key(point)
    if key is None:
        return False
    try:
        key.verify(signature, message, _ALGORITHM)
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=KEYS_KEPT)
def public_key(point: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of an uncompressed point; ValueError if it is none. Several signatures hang on one key."""
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point)


def _key(point: bytes) -> ec.EllipticCurvePublicKey | None:
    if len(point) != POINT_BYTES or point[0] != 4:
        return None
    try:
        return public_key(point)
    except ValueError:
        return None
