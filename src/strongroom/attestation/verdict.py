"""What verification found: claims and a status, and no opinion (specification sections 7 and 9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from strongroom.attestation.anchors import TrustDomain
from strongroom.attestation.pck import PckClaims
from strongroom.attestation.quote import Body, BodyType, Tee, body_object
from strongroom.attestation.status import TcbStatus
from strongroom.attestation.steps import checks_of_verdict
from strongroom.attestation.validity import timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Holding one says that the evidence is sound; whether that is enough is policy's question.

    Only `verify` builds it. Debug enclaves, outdated and revoked platforms get one too. It has no truth value.
    """

    trust_domain: TrustDomain
    root_key_id: str  # SHA-384 of the root point, hex
    tee: Tee
    quote_version: int
    body_type: BodyType
    status: TcbStatus
    platform_status: TcbStatus
    qe_status: TcbStatus
    module_status: TcbStatus | None
    advisories: tuple[str, ...]
    fmspc: str  # 12 hex digits, upper case
    ca_type: str  # "platform" or "processor"
    tcb_date: datetime
    tcb_eval: int
    qe_eval: int
    body: Body
    pck: PckClaims
    pck_serial: int  # of the PCK certificate
    attestation_key: bytes  # 64 bytes, x ‖ y: what the quoting enclave vouches for
    earliest_issue: datetime  # over certificates, CRLs, TCB info, QE identity
    latest_issue: datetime
    earliest_expiration: datetime
    collateral_issued: datetime  # the oldest of what is renewed monthly: TCB info, QE identity, PCK CRL
    root_crl_number: int
    pck_crl_number: int
    collateral_ids: tuple[tuple[str, str], ...]  # SHA-256 of each part, hex, by name
    verified_at: datetime
    trailing_len: int
    in_grace: tuple[str, ...] = ()  # collateral whose expiry was excused, by name; empty unless a grace was given

    @property
    def debug(self) -> bool:
        """Whether the host may read this enclave's or trust domain's memory."""
        return self.body.debug

    @property
    def tcb_eval_ref_num(self) -> int:
        """The lower of the two evaluation numbers, as Intel's policy compares it."""
        return min(self.tcb_eval, self.qe_eval)

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict is neither true nor false: pass it to appraise() with a policy")

    def to_json_object(self) -> dict[str, object]:
        """Return the verdict as a machine reads it; names as in the vectors and in Intel's supplemental data."""
        return {
            "verdict": "ok",
            "trust_domain": self.trust_domain.value,
            "root_key_id": self.root_key_id,
            "tee": self.tee.value,
            "body_type": self.body_type.value,
            "status": self.status.value,
            "advisories": list(self.advisories),
            "platform_status": self.platform_status.value,
            "module_status": self.module_status.value if self.module_status else None,
            "qe_status": self.qe_status.value,
            "fmspc": self.fmspc,
            "tcb_date": timestamp(self.tcb_date),
            "tcb_eval": self.tcb_eval,
            "qe_eval": self.qe_eval,
            "body": body_object(self.body, self.quote_version),
            "trailing_len": self.trailing_len,
            "platform": {
                **self.pck.to_json_object(),
                "ca_type": self.ca_type,
                "pck_serial": f"{self.pck_serial:x}",
                "attestation_key": self.attestation_key.hex(),
            },
            "earliest_issue_date": timestamp(self.earliest_issue),
            "latest_issue_date": timestamp(self.latest_issue),
            "earliest_expiration_date": timestamp(self.earliest_expiration),
            "collateral_issued": timestamp(self.collateral_issued),
            "tcb_eval_ref_num": self.tcb_eval_ref_num,
            "root_ca_crl_num": self.root_crl_number,
            "pck_crl_num": self.pck_crl_number,
            "collateral_ids": dict(self.collateral_ids),
            "verified_at": timestamp(self.verified_at),
            "in_grace": list(self.in_grace),
            "checks": [check.to_json_object() for check in checks_of_verdict(self.tee, self.in_grace)],
        }
