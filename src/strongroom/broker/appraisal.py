"""From the certificate that a peer presented to a verdict on its evidence.

World: whatever the collateral source touches. The order is that of the specification (gramine section 3.2): what the
certificate alone decides, then collateral for the platform it names, then the verification of the quote.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from strongroom.attestation import Anchor, Verdict, parse_quote, verify
from strongroom.collateral import CollateralSource
from strongroom.pki import ratls


def appraise_certificate(
    certificate: bytes, *, source: CollateralSource, anchors: Sequence[Anchor], at: datetime
) -> Verdict:
    """Return what the evidence in an RA-TLS certificate (DER) proves; its key is bound by it.

    Raises the error of the rule that failed: one of `pki.ratls`, EvidenceRefused, or CollateralUnavailable.
    """
    evidence = ratls.open_certificate(certificate, at=at)
    collateral = source.collateral_for(parse_quote(evidence.quote))
    return verify(evidence.quote, collateral, anchors=anchors, at=at)
