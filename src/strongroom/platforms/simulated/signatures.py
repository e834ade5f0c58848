"""Signatures and points as SGX writes them: raw halves, big-endian, without DER."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_HALF: Final = 32


def raw_signature(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Return ECDSA-SHA256 over P-256 as 64 bytes r‖s."""
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")


def raw_point(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the public point as 64 bytes x‖y (the uncompressed form without its leading 04)."""
    encoded = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return encoded[1:]
