"""What one piece of evidence says, whoever checked it: the form that policies judge (specification section 7).

A quote that we verified and a token of a remote verifier become the same `Claims`. None means that the evidence does
not say: unknown, which is neither false nor zero, and which no required rule accepts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from strongroom.attestation.anchors import TrustDomain
from strongroom.attestation.quote import Tee
from strongroom.attestation.report import SgxReport
from strongroom.attestation.status import TcbStatus
from strongroom.attestation.td_report import TdReport
from strongroom.attestation.verdict import Verdict

_FLAG_BYTES = 8  # of an SGX report's 16 bytes of attributes; the rest is XFRM


class EvidenceSource(StrEnum):
    """Who checked the hardware's signature: we ourselves, or a service whose token we checked."""

    QUOTE = "quote"
    MAA = "maa"
    ITA = "ita"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Claims of one attester; bytes in the order of the report, sizes in bytes behind the fields. None: unknown.

    `claims_of` fills them from a verdict; a verified token fills what it says. Only a verifier may build them.
    """

    source: EvidenceSource
    trust_domain: TrustDomain
    tee: Tee | None = None
    root_key_id: str | None = None  # SHA-384 of the root point, hex
    # The platform.
    tcb_status: TcbStatus | None = None
    advisories: tuple[str, ...] | None = None
    tcb_date: datetime | None = None
    tcb_eval_ref_num: int | None = None
    fmspc: str | None = None  # 12 hex digits, upper case
    pck_ppid: bytes | None = None  # 16, from the PCK certificate alone
    platform_instance_id: bytes | None = None  # 16, likewise
    pck_serial: int | None = None  # of the PCK certificate
    attestation_key: bytes | None = None  # 64, x ‖ y
    platform_provider_id: str | None = None
    sgx_type: int | None = None
    dynamic_platform: bool | None = None
    cached_keys: bool | None = None
    smt_enabled: bool | None = None
    # Times.
    collateral_issued: datetime | None = None  # the oldest of what is renewed monthly
    not_before: datetime | None = None
    not_after: datetime | None = None
    judged_at: datetime | None = None  # the time that the verification was asked for
    in_grace: tuple[str, ...] | None = None  # collateral that had expired and was taken in the grace
    evidence_time: datetime | None = None  # when the evidence was made, where it says so
    # The program, either kind.
    debug: bool | None = None
    report_data: bytes | None = None  # 64
    # An SGX enclave.
    mr_enclave: bytes | None = None  # 32
    mr_signer: bytes | None = None  # 32
    isv_prod_id: int | None = None
    isv_svn: int | None = None
    attributes: bytes | None = None  # 8, the flags
    xfrm: bytes | None = None  # 8
    misc_select: int | None = None
    config_id: bytes | None = None  # 64
    config_svn: int | None = None
    isv_ext_prod_id: bytes | None = None  # 16
    isv_family_id: bytes | None = None  # 16
    reserved_clear: bool | None = None
    # A trust domain (TDX).
    tee_tcb_svn: bytes | None = None  # 16
    mr_seam: bytes | None = None  # 48, as the next ones
    mr_signer_seam: bytes | None = None
    seam_attributes: bytes | None = None  # 8
    td_attributes: bytes | None = None  # 8
    xfam: bytes | None = None  # 8
    mr_td: bytes | None = None
    mr_config_id: bytes | None = None
    mr_owner: bytes | None = None
    mr_owner_config: bytes | None = None
    rtmr0: bytes | None = None
    rtmr1: bytes | None = None
    rtmr2: bytes | None = None
    rtmr3: bytes | None = None
    mr_service_td: bytes | None = None  # zeros for TD 1.0, which has no service TD

    def to_json_object(self) -> dict[str, object]:
        """Return what is known, by name: bytes in hex, times as ISO 8601."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: _plain(value) for name, value in values if value is not None}


def claims_of(verdict: Verdict) -> Claims:
    """Return the claims of a verdict on a quote."""
    body = verdict.body
    return Claims(
        source=EvidenceSource.QUOTE,
        trust_domain=verdict.trust_domain,
        tee=verdict.tee,
        root_key_id=verdict.root_key_id,
        tcb_status=verdict.status,
        advisories=verdict.advisories,
        tcb_date=verdict.tcb_date,
        tcb_eval_ref_num=verdict.tcb_eval_ref_num,
        fmspc=verdict.fmspc,
        pck_ppid=verdict.pck.ppid,
        platform_instance_id=verdict.pck.platform_instance_id,
        pck_serial=verdict.pck_serial,
        attestation_key=verdict.attestation_key,
        sgx_type=verdict.pck.sgx_type,
        dynamic_platform=verdict.pck.dynamic_platform,
        cached_keys=verdict.pck.cached_keys,
        smt_enabled=verdict.pck.smt_enabled,
        collateral_issued=verdict.collateral_issued,
        not_before=verdict.latest_issue,
        not_after=verdict.earliest_expiration,
        judged_at=verdict.verified_at,
        in_grace=verdict.in_grace,
        debug=body.debug,
        report_data=body.report_data,
        **(_sgx(body) if isinstance(body, SgxReport) else _tdx(body)),
    )


def _sgx(body: SgxReport) -> dict[str, Any]:
    names = ("mr_enclave", "mr_signer", "isv_prod_id", "isv_svn", "misc_select", "config_id", "config_svn",
             "isv_ext_prod_id", "isv_family_id", "reserved_clear")  # fmt: skip
    split = {"attributes": body.attributes[:_FLAG_BYTES], "xfrm": body.attributes[_FLAG_BYTES:]}
    return {name: getattr(body, name) for name in names} | split


def _tdx(body: TdReport) -> dict[str, Any]:
    names = ("tee_tcb_svn", "mr_seam", "mr_signer_seam", "seam_attributes", "td_attributes", "xfam", "mr_td",
             "mr_config_id", "mr_owner", "mr_owner_config", "rtmr0", "rtmr1", "rtmr2", "rtmr3")  # fmt: skip
    service = bytes(48) if body.mr_service_td is None else body.mr_service_td
    return {name: getattr(body, name) for name in names} | {"mr_service_td": service}


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
