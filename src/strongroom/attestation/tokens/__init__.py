"""Attestation tokens: what a remote verifier says about a quote, checked under keys that the owner configured.

Two services are spoken: Microsoft Azure Attestation and Intel Trust Authority. A verified token becomes the same
`Claims` as a quote does, and the same policy judges them; what a token does not say stays unknown.
"""

from strongroom.attestation.tokens.jws import MAX_TOKEN_BYTES, TokenHeaderRefused, TokenMalformed
from strongroom.attestation.tokens.keys import MAX_KEY_SET_BYTES, SIMULATED_MARK, KeySet, KeySetUnusable, TokenKey
from strongroom.attestation.tokens.profiles import ITA, MAA, PROFILES, Profile, TokenClaimRefused, TokenTypeRefused
from strongroom.attestation.tokens.verdict import TokenVerdict
from strongroom.attestation.tokens.verify import TokenKeyUnknown, verify_token

__all__ = [
    "ITA",
    "MAA",
    "MAX_KEY_SET_BYTES",
    "MAX_TOKEN_BYTES",
    "PROFILES",
    "SIMULATED_MARK",
    "KeySet",
    "KeySetUnusable",
    "Profile",
    "TokenClaimRefused",
    "TokenHeaderRefused",
    "TokenKey",
    "TokenKeyUnknown",
    "TokenMalformed",
    "TokenTypeRefused",
    "TokenVerdict",
    "verify_token",
]
