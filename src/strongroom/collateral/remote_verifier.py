"""Let an attestation service check a quote, and judge what it answers: the seeds' `-b` route, with the binding held.

World: the service and the keys it is checked with. What comes out is a `TokenVerdict`, whose claims go to the same
policy as a quote's own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from strongroom.attestation import parse_quote
from strongroom.attestation.claims import Claims
from strongroom.attestation.tokens import KeySet, TokenKeyUnknown, TokenVerdict, verify_token
from strongroom.attestation.tokens.same_quote import check_same_quote
from strongroom.attestation.tokens.verify import SKEW
from strongroom.collateral.attestation_service import AttestationService
from strongroom.collateral.token_keys import TokenKeys


class RemoteVerifier:
    """Judges quotes by a service's word. Threads may share it."""

    def __init__(
        self, service: AttestationService, keys: TokenKeys, *, audience: str | None = None, skew: timedelta = SKEW
    ) -> None:
        self._service, self._keys, self._audience, self._skew = service, keys, audience, skew

    def appraise_quote(self, quote: bytes, *, bound: bytes, report_data: bytes, at: datetime) -> Claims:
        """Return what the service's token says about `quote`. See `verdict_on`."""
        return self.verdict_on(quote, bound=bound, report_data=report_data, at=at).claims()

    def verdict_on(self, quote: bytes, *, bound: bytes, report_data: bytes, at: datetime) -> TokenVerdict:
        """Send a quote, return the verdict on the token that comes back.

        `bound`: the bytes that the quote vouches for, such as a key; `report_data`: the 64 bytes that quote and token
        must both hold. Raises EvidenceRefused for a quote without structure, ServiceRefused, ServiceUnreachable, or
        the error of the rule that the token breaks.
        """
        parsed = parse_quote(quote)
        token = self._service.attest(quote, tee=parsed.tee, bound=bound)
        verdict = with_current_keys(
            self._keys,
            lambda keys: verify_token(
                token, keys, self._service.profile, at=at, audience=self._audience, report_data=report_data,
                skew=self._skew,
            ),
            at=at,
        )  # fmt: skip
        check_same_quote(verdict, parsed)
        return verdict


def with_current_keys(keys: TokenKeys, check: Callable[[KeySet], TokenVerdict], *, at: datetime) -> TokenVerdict:
    """Return what `check` finds with the present keys; after a rotation, with newer ones, once."""
    try:
        return check(keys.current(at=at))
    except TokenKeyUnknown:
        newer = keys.renewed(at=at)
        if newer is None:
            raise
        return check(newer)
