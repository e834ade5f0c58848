"""What a verified token says: no opinion, and nothing that the service did not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

from strongroom.attestation.anchors import TrustDomain
from strongroom.attestation.claims import Claims, EvidenceSource
from strongroom.attestation.validity import timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenVerdict:
    """Holding one says that the service signed these claims and that they count now. Only `verify_token` builds it.

    It rests on the service's word: the hardware's signature was checked there, not here. It has no truth value.
    """

    source: EvidenceSource
    trust_domain: TrustDomain
    issuer: str
    key_id: str
    key_thumbprint: str  # SHA-256 of the key's SubjectPublicKeyInfo, hex
    algorithm: str
    issued_at: datetime
    not_before: datetime
    not_after: datetime
    verified_at: datetime
    skew: timedelta  # how far the service's clock may be from ours; both ends of the time span have it
    bound: bool  # whether report data was compared with what the caller expects
    evidence: Mapping[str, Any]  # fields of Claims, as far as the token has them

    def claims(self) -> Claims:
        """Return what policies judge; what the token does not say is None."""
        return Claims(
            source=self.source, trust_domain=self.trust_domain, not_before=self.not_before - self.skew,
            not_after=self.not_after + self.skew, judged_at=self.verified_at,
            evidence_time=self.issued_at, **self.evidence,
        )  # fmt: skip

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict is neither true nor false: pass its claims() to appraise() with a policy")

    def to_json_object(self) -> dict[str, object]:
        """Return the verdict as a machine reads it."""
        return {
            "verdict": "ok",
            "source": self.source.value,
            "trust_domain": self.trust_domain.value,
            "issuer": self.issuer,
            "key_id": self.key_id,
            "key_sha256": self.key_thumbprint,
            "algorithm": self.algorithm,
            "issued_at": timestamp(self.issued_at),
            "not_before": timestamp(self.not_before),
            "not_after": timestamp(self.not_after),
            "verified_at": timestamp(self.verified_at),
            "report_data_compared": self.bound,
            "claims": self.claims().to_json_object(),
        }
