"""Verify an attestation token: numbered steps, each with an error of its own (threat SC-16).

Pure. What comes out rests on the service's word: that it checked the quote, and told the truth.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from strongroom.attestation.anchors import TrustDomain
from strongroom.attestation.fields import Fields
from strongroom.attestation.tokens.jws import Jws, TokenHeaderRefused, parse_jws
from strongroom.attestation.tokens.keys import SIMULATED_MARK, KeySet, TokenKey
from strongroom.attestation.tokens.profiles import Profile, TokenClaimRefused
from strongroom.attestation.tokens.verdict import TokenVerdict
from strongroom.attestation.validity import require_zone, timestamp
from strongroom.errors import Tampered

SKEW: Final = timedelta(minutes=1)
MAX_AUDIENCES: Final = 16
_LAST_SECOND: Final = 32_503_680_000  # the year 3000: dates with a skew added stay far from what a datetime can hold


class TokenAlgorithmRefused(Tampered):
    """An attestation token is signed with an algorithm that its service does not use."""

    code = "SR-TOKEN-ALGORITHM"
    fix = "Refuse this token: the algorithm is pinned by the profile (maa: RS256; ita: RS256, PS384)."


class TokenKeyUnknown(Tampered):
    """An attestation token names a key that is not in the configured key set."""

    code = "SR-TOKEN-KEY"
    fix = "If the service has rotated its keys, fetch its key set anew; otherwise refuse this token."


class TokenKeyExpired(Tampered):
    """The certificate that a service's key came in does not count at this time."""

    code = "SR-TOKEN-KEY-EXPIRED"
    fix = "Fetch the service's key set anew, and compare the clocks."


class TokenSignatureInvalid(Tampered):
    """The signature of an attestation token does not hold."""

    code = "SR-TOKEN-SIGNATURE"
    fix = "Refuse this token: it was changed, or signed by somebody else."


class TokenSimulated(Tampered):
    """A token of a local double was offered where a real service's was expected, or the other way round."""

    code = "SR-TOKEN-SIMULATED"
    fix = "Use a double's tokens with the double's key set only; they prove nothing about hardware."


class TokenIssuerRefused(Tampered):
    """An attestation token comes from another issuer than the configured one."""

    code = "SR-TOKEN-ISSUER"
    fix = "Name the instance you trust with --service or --issuer; anybody can run one with rules of their own."


class TokenAudienceRefused(Tampered):
    """An attestation token was made for somebody else, or for nobody in particular where one was wanted."""

    code = "SR-TOKEN-AUDIENCE"
    fix = "Name the audience that you are with --audience, or refuse this token."


class TokenOutsideValidity(Tampered):
    """An attestation token does not count at this time."""

    code = "SR-TOKEN-EXPIRED"
    fix = "Attest again for a fresh token, and compare both clocks."


class TokenNotBound(Tampered):
    """An attestation token is about another key, or answers another nonce, than this peer's."""

    code = "SR-TOKEN-NOT-BOUND"
    fix = "Refuse this peer: it presents somebody else's token."


def verify_token(
    token: bytes, keys: KeySet, profile: Profile, *, at: datetime, audience: str | None = None,
    report_data: bytes | None = None, nonce: str | None = None, skew: timedelta = SKEW,
) -> TokenVerdict:  # fmt: skip
    """Return what a token (compact JWS) proves at the time `at`, under the keys of one configured issuer.

    `report_data`: the 64 bytes that the quote must have carried, such as the hash of a live key; None leaves the
    comparison to the caller. Raises a `Tampered` named after the step that failed.
    """
    require_zone(at)
    # 1. One strict JWS, that asks for nothing but a key by its id.
    jws = parse_jws(token)
    _check_key_set_url(jws, keys)
    # 2. The profile's algorithm, a configured key that may be used with it, and the signature.
    key = _check_signature(jws, keys, profile, at)
    # 3. The payload: one JSON object from the configured issuer, and of its world.
    payload = Fields.parse(jws.payload, what="the token", error=TokenClaimRefused)
    domain = TrustDomain.SIMULATED if keys.simulated else profile.domain_of(keys.issuer, keys.url)
    _check_origin(payload, keys, domain)
    # 4. For us, and now.
    _check_audience(payload, audience)
    issued_at, not_before, not_after = _check_dates(payload, at, skew)
    # 5. What it says about the machine, and that it is about this peer.
    evidence = profile.read(payload)
    _check_binding(payload, profile, evidence["report_data"], report_data, nonce)
    return TokenVerdict(
        source=profile.source, trust_domain=domain, issuer=keys.issuer, key_id=key.key_id,
        key_thumbprint=key.thumbprint, algorithm=jws.algorithm, issued_at=issued_at, not_before=not_before,
        not_after=not_after, verified_at=at, skew=skew, bound=report_data is not None, evidence=evidence,
    )  # fmt: skip


def _check_key_set_url(jws: Jws, keys: KeySet) -> None:
    if jws.key_set_url is not None and jws.key_set_url != keys.url:
        raise TokenHeaderRefused(
            f"the token says that its keys are at {jws.key_set_url[:128]!r}, configured is {keys.url or 'no address'}"
        )


def _check_signature(jws: Jws, keys: KeySet, profile: Profile, at: datetime) -> TokenKey:
    if jws.algorithm not in profile.algorithms:
        allowed = ", ".join(sorted(profile.algorithms))
        raise TokenAlgorithmRefused(f"the token is signed with {jws.algorithm[:32]!r}, allowed are {allowed}")
    key = keys.keys.get(jws.key_id)
    if key is None:
        raise TokenKeyUnknown(f"the token names the key {jws.key_id[:64]!r}, which is not in the key set")
    if key.algorithm not in (None, jws.algorithm):
        raise TokenAlgorithmRefused(f"the key is for {str(key.algorithm)[:32]!r}, the token says {jws.algorithm}")
    if key.not_before and key.not_after and not key.not_before <= at <= key.not_after:
        window = f"{timestamp(key.not_before)} to {timestamp(key.not_after)}"
        raise TokenKeyExpired(f"the key's certificate counts from {window}, asked for {timestamp(at)}")
    try:
        if jws.algorithm == "PS384":  # RFC 7518 section 3.5: the salt is as long as the hash
            pss = padding.PSS(padding.MGF1(hashes.SHA384()), salt_length=hashes.SHA384.digest_size)
            key.public_key.verify(jws.signature, jws.signed, pss, hashes.SHA384())
        else:
            key.public_key.verify(jws.signature, jws.signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise TokenSignatureInvalid(f"the signature does not hold under the key {jws.key_id[:64]!r}") from None
    return key


def _check_origin(payload: Fields, keys: KeySet, domain: TrustDomain) -> None:
    if payload.has(SIMULATED_MARK) != (domain is TrustDomain.SIMULATED):
        raise TokenSimulated(
            "the token is marked as a local double's, the key set is a real service's"
            if payload.has(SIMULATED_MARK)
            else f"the issuer {keys.issuer[:128]!r} with keys at {str(keys.url)[:128]!r} is no real service, and the "
            "token is not marked as a double's"
        )
    issuer = payload.text("iss")
    if issuer != keys.issuer:
        raise TokenIssuerRefused(f"the token is from {issuer[:128]!r}, configured is {keys.issuer[:128]!r}")


def _check_audience(payload: Fields, audience: str | None) -> None:
    """RFC 7519 section 4.1.3: whoever is not among the audience must refuse the token."""
    value = payload.value.get("aud", [])
    named = [value] if isinstance(value, str) else value
    if not isinstance(named, list) or len(named) > MAX_AUDIENCES or not all(isinstance(each, str) for each in named):
        raise TokenClaimRefused("aud is neither a text nor a short list of texts")
    if (audience is None and payload.has("aud")) or (audience is not None and audience not in named):
        shown = ", ".join(repr(each[:64]) for each in named) or "nobody"
        raise TokenAudienceRefused(f"the token is for {shown}, we are {audience or 'nobody by name'}")


def _check_dates(payload: Fields, at: datetime, skew: timedelta) -> tuple[datetime, datetime, datetime]:
    issued_at, not_before, not_after = (
        datetime.fromtimestamp(payload.number(name, limit=_LAST_SECOND), UTC) for name in ("iat", "nbf", "exp")
    )
    if not (issued_at <= not_after and not_before <= not_after):
        raise TokenClaimRefused("the token ends before it begins")
    since = max(issued_at, not_before)
    if since - at > skew:
        raise TokenOutsideValidity(f"the token counts from {timestamp(since)}, asked for {timestamp(at)}")
    if at - not_after > skew:
        raise TokenOutsideValidity(f"the token counted until {timestamp(not_after)}, asked for {timestamp(at)}")
    return issued_at, not_before, not_after


def _check_binding(
    payload: Fields, profile: Profile, seen: bytes, report_data: bytes | None, nonce: str | None
) -> None:
    if report_data is not None and not hmac.compare_digest(seen, report_data):
        raise TokenNotBound(f"the token is about the report data {seen[:8].hex()}…, wanted {report_data[:8].hex()}…")
    if nonce is None:
        return
    answer = profile.nonce(payload)
    if not isinstance(answer, str) or not hmac.compare_digest(_utf8(answer), _utf8(nonce)):
        raise TokenNotBound("the token does not answer the nonce that was sent")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogatepass")  # JSON can spell halves of characters, and none may raise
