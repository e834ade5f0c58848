"""From the certificate that a peer presented to a verdict on its evidence.

World: whatever the collateral source touches. The order is that of the specification (gramine section 3.2): what the
certificate alone decides, then collateral for the platform it names, then the verification of the quote.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from strongroom.attestation import Binding, BindingKind, Claims, Collateral, Verdict, Verifier, parse_quote
from strongroom.collateral import CollateralSource
from strongroom.pki import ratls


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraised:
    """A verdict, what it was reached from, and what the evidence is bound to."""

    verdict: Verdict
    quote: bytes
    collateral: Collateral
    binding: Binding


class RemoteJudge(Protocol):
    """An attestation service whose word the owner takes, and the keys that its tokens are checked with."""

    def appraise_quote(self, quote: bytes, *, bound: bytes, report_data: bytes, at: datetime) -> Claims:
        """Return what the service says about a quote over `report_data`; raise a StrongroomError otherwise."""


def appraise_by_service(
    certificate: bytes, *, judge: RemoteJudge, at: datetime, live_key: bytes | None = None
) -> tuple[Claims, Binding]:
    """Return what a service says about the evidence in an RA-TLS certificate (DER), and what that is bound to.

    Raises the error of the rule that failed: one of `pki.ratls`, or what `judge` raises.
    """
    evidence = ratls.open_certificate(certificate, at=at, live_key=live_key)
    claims = judge.appraise_quote(evidence.quote, bound=evidence.bound, report_data=evidence.report_data, at=at)
    if claims.report_data != evidence.report_data:
        raise ratls.NotBound("the service speaks of other report data than this certificate's")
    return claims, Binding(kind=BindingKind.KEY, public_key_spki=evidence.bound)


def appraise_certificate(
    certificate: bytes, *, source: CollateralSource, verifier: Verifier, at: datetime,
    collateral_grace: timedelta = timedelta(0), live_key: bytes | None = None,
) -> Appraised:  # fmt: skip
    """Return what the evidence in an RA-TLS certificate (DER) proves; its key is bound by it.

    `collateral_grace`: the most that any rule gives; each rule judges its own. `live_key`: see `ratls`. Raises the
    error of the rule that failed: one of `pki.ratls`, EvidenceRefused, or CollateralUnavailable.
    """
    evidence = ratls.open_certificate(certificate, at=at, live_key=live_key)
    collateral = source.collateral_for(parse_quote(evidence.quote))
    verdict = verifier.verify(evidence.quote, collateral, at=at, collateral_grace=collateral_grace)
    # `ratls` found the binding before the quote was verified; the bytes that were signed have to be the same ones.
    if verdict.body.report_data != evidence.report_data:
        raise ratls.NotBound("the verified report data is not the hash of this certificate's key or claims")
    binding = Binding(kind=BindingKind.KEY, public_key_spki=evidence.bound)
    return Appraised(verdict=verdict, quote=evidence.quote, collateral=collateral, binding=binding)
