"""Public keys that secrets are sealed to, as JWK (RFC 7517, KBS specification section 6). Pure.

P-256, P-521 and RSA-2048 to RSA-4096; never RSA1_5, never a curve or a size that another party would have to guess. A
key is checked whole when it is read: type, algorithm, lengths, that the point lies on its curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.attestation.tokens.jws import base64url, base64url_text
from strongroom.errors import Refused

ECDH_ES_A256KW: Final = "ECDH-ES+A256KW"
RSA_OAEP_256: Final = "RSA-OAEP-256"
CURVES: Final[dict[str, ec.EllipticCurve]] = {"P-256": ec.SECP256R1(), "P-521": ec.SECP521R1()}
COORDINATE_BYTES: Final = {"P-256": 32, "P-521": 66}
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 4096
EXPONENT: Final = 65537
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_NAMES: Final = {"secp256r1": "P-256", "secp521r1": "P-521"}

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class KeyRefused(Refused):
    """A key that a secret was to be sealed to is none that this broker seals to."""

    code = "SR-JWK"
    fix = "Use P-256 or P-521 with ECDH-ES+A256KW, or RSA of 2048 to 4096 bits with RSA-OAEP-256; public members only."


@dataclass(frozen=True, slots=True)
class RecipientKey:
    """A public key with its algorithm; `members` are exactly those that a KBS hashes."""

    members: dict[str, str]
    public: PublicKey

    @property
    def algorithm(self) -> str:
        """The JWE algorithm that the key selects."""
        return self.members["alg"]

    @property
    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo, DER."""
        return self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @classmethod
    def of(cls, key: PublicKey) -> RecipientKey:
        """Return a key of ours with the one algorithm of its type. Raises KeyRefused."""
        if isinstance(key, ec.EllipticCurvePublicKey):
            return cls({"kty": "EC", "alg": ECDH_ES_A256KW, **point_members(key)}, key)
        numbers = key.public_numbers()
        _check_rsa(numbers.n, numbers.e)
        n, e = (_number(value, (value.bit_length() + 7) // 8) for value in (numbers.n, numbers.e))
        return cls({"kty": "RSA", "alg": RSA_OAEP_256, "n": n, "e": e}, key)

    @classmethod
    def parse(cls, value: object) -> RecipientKey:
        """Return the key of a JWK, read as strict JSON. Members nobody knows are left out. Raises KeyRefused."""
        if not isinstance(value, dict):
            raise KeyRefused("the key is not a JSON object")
        if private := _PRIVATE_MEMBERS & value.keys():
            raise KeyRefused(f"the key brings its private member {min(private)!r}")
        kty, alg = _text(value, "kty"), _text(value, "alg")
        if (kty, alg) == ("EC", ECDH_ES_A256KW):
            members = {name: _text(value, name) for name in ("kty", "crv", "alg", "x", "y")}
            return cls(members, point(members))
        if (kty, alg) == ("RSA", RSA_OAEP_256):
            members = {name: _text(value, name) for name in ("kty", "alg", "n", "e")}
            return cls(members, _rsa(members))
        raise KeyRefused(f"a key of the type {kty[:16]!r} with the algorithm {alg[:24]!r} is not sealed to")


def point_members(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """Return crv, x and y of a point on one of our curves. Raises KeyRefused."""
    name = _NAMES.get(key.curve.name)
    if name is None:
        raise KeyRefused(f"the curve {key.curve.name} is not used here")
    numbers, size = key.public_numbers(), COORDINATE_BYTES[name]
    return {"crv": name, "x": _number(numbers.x, size), "y": _number(numbers.y, size)}


def point(members: dict[str, str]) -> ec.EllipticCurvePublicKey:
    """Return the key of crv, x and y, once the point is known to lie on the curve. Raises KeyRefused."""
    curve = CURVES.get(members["crv"])
    if curve is None:
        raise KeyRefused(f"the curve {members['crv'][:16]!r} is not used here")
    size, (x, y) = COORDINATE_BYTES[members["crv"]], (_bytes(members, name) for name in ("x", "y"))
    if len(x) != size or len(y) != size:
        raise KeyRefused(f"a coordinate has {len(x)} and {len(y)} bytes, both have {size} on {members['crv']}")
    try:
        return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()
    except ValueError:
        raise KeyRefused(f"the point does not lie on {members['crv']}") from None


def _rsa(members: dict[str, str]) -> rsa.RSAPublicKey:
    n, e = (_bytes(members, name) for name in ("n", "e"))
    if not (n and n[0] and e and e[0]):
        raise KeyRefused("a number of the key begins with a zero byte, or is empty")
    modulus, exponent = int.from_bytes(n, "big"), int.from_bytes(e[:8], "big")
    _check_rsa(modulus, exponent)
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        raise KeyRefused("the numbers make no RSA key") from None


def _check_rsa(modulus: int, exponent: int) -> None:
    bits = modulus.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS or exponent != EXPONENT:
        raise KeyRefused(f"RSA of {bits} bits, wanted {MIN_RSA_BITS} to {MAX_RSA_BITS} and the exponent {EXPONENT}")


def _text(value: dict[object, object], name: str) -> str:
    member = value.get(name)
    if not isinstance(member, str) or len(member) > 1024 or not member.isascii():
        raise KeyRefused(f"the key has no member {name} that is a short ASCII text")
    return member


def _bytes(members: dict[str, str], name: str) -> bytes:
    return base64url(members[name].encode("ascii"), what=f"{name} of the key", error=KeyRefused)


def _number(value: int, size: int) -> str:
    return base64url_text(value.to_bytes(size, "big")).decode("ascii")
