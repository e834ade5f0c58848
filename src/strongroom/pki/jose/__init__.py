"""JSON's signatures and envelopes, as far as key release needs them: JCS, JWK, JWE and JWS.

Law of this room: pure, strict and narrow. What a document may choose is compared with what the caller allows; keys are
checked when they are read, and no algorithm is taken because a document names it. Sources: RFC 7515 to 7518, RFC 8785,
and section 6 to 8 of the KBS specification.
"""

from strongroom.pki.jose.canonical import NotCanonical, canonical
from strongroom.pki.jose.jwe import JweMalformed, Material, Opened, open_sealed, seal
from strongroom.pki.jose.jwk import ECDH_ES_A256KW, RSA_OAEP_256, KeyRefused, PrivateKey, RecipientKey
from strongroom.pki.jose.jws import TokenUnsound, read_signed, sign, signer_jwk

__all__ = [
    "ECDH_ES_A256KW",
    "RSA_OAEP_256",
    "JweMalformed",
    "KeyRefused",
    "Material",
    "NotCanonical",
    "Opened",
    "PrivateKey",
    "RecipientKey",
    "TokenUnsound",
    "canonical",
    "open_sealed",
    "read_signed",
    "seal",
    "sign",
    "signer_jwk",
]
