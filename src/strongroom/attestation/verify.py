"""Verify a quote: the order of the specification's section 5, which decides the code that is reported first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from strongroom.attestation.anchors import Anchor
from strongroom.attestation.certificates import Certificate, parse_pem_chain
from strongroom.attestation.certification import CertificationType
from strongroom.attestation.chain import TrustedPck, check_pck_chain
from strongroom.attestation.codes import EvidenceCode, EvidenceRefused, refusal, require
from strongroom.attestation.collateral import Collateral, ParsedCollateral, read_collateral
from strongroom.attestation.pck import PckClaims, read_pck_claims
from strongroom.attestation.quote import Quote, parse_quote
from strongroom.attestation.reference import Reference, check_collateral
from strongroom.attestation.signatures import is_point, signed_raw
from strongroom.attestation.tcb import TcbResult, evaluate
from strongroom.attestation.tcb_info import TcbInfo
from strongroom.attestation.validity import require_zone
from strongroom.attestation.verdict import Verdict

_UNCOMPRESSED: Final = b"\x04"
_UPPER_HALF: Final = bytes(32)


def verify(evidence: bytes, collateral: Collateral, *, anchors: Sequence[Anchor], at: datetime) -> Verdict:
    """Return what a quote proves at the time `at` under the given anchors; raise EvidenceRefused if it does not hold.

    `at` must carry its zone. Nothing in evidence or collateral adds to `anchors`.
    """
    require_zone(at)
    # 1. Structure of the quote and of the collateral.
    quote = parse_quote(evidence)
    chain = pck_chain_of(quote)
    parsed = read_collateral(collateral)
    # 2 to 7. Root, root CRL, TCB signer, TCB info, QE identity.
    reference = check_collateral(parsed, anchors=anchors, at=at)
    # 8 to 12. PCK chain, its roles and dates, PCK CRL, revocation.
    pck = check_pck_chain(chain, reference.root, parsed.root_crl, parsed.pck_crl, at=at)
    # 13. The SGX extension says which platform this is.
    platform = read_pck_claims(pck.leaf)
    # 14. The TCB info is for this kind of TEE and this platform. (15 is TDX's module identity.)
    check_match(quote, platform, reference.tcb_info)
    # 16 and 17. The platform signed the quoting enclave's report, and that report names the attestation key.
    check_qe_report(quote, pck.leaf)
    # 18. The quoting enclave is the one that Intel describes.
    reference.qe_identity.check(quote.qe_report, quote.tee)
    # 19. How current the quoting enclave is.
    qe_level = reference.qe_identity.level_of(quote.qe_report)
    # 20. The attestation key signed header and body.
    check_quote_signature(quote)
    # 21. How current the platform is; both together. (22 is policy: see `appraise`.)
    tcb = evaluate(platform, reference.tcb_info, qe_level)
    return _verdict(quote, parsed, reference, pck=pck, platform=platform, tcb=tcb, at=at)


def fmspc_of(quote: Quote, chain: str | None = None) -> str:
    """Return the platform family (12 hex digits, upper case) that the PCK certificate names, unverified.

    `chain` is the PCK chain (PEM, leaf first) for quotes that do not carry theirs.
    """
    return read_pck_claims(pck_chain_of(quote, chain)[0]).fmspc.hex().upper()


def pck_chain_of(quote: Quote, chain: str | None = None) -> tuple[Certificate, ...]:
    """Return the PCK chain, leaf first, unverified: the quote's own, or `chain` where the quote carries none."""
    kind = quote.certification_type
    if kind is CertificationType.PCK_CHAIN:
        text = quote.certification_data.rstrip(b"\0")  # genuine chains often end in one NUL
    elif chain is not None:
        text = chain.encode("utf-8", errors="replace")
    else:
        raise EvidenceRefused(
            f"the certification data are of type {kind.value}, wanted {CertificationType.PCK_CHAIN.value}"
            " (the PCK chain itself), or the chain beside the quote",
            reason=EvidenceCode.CERT_TYPE_UNSUPPORTED,
        )
    return parse_pem_chain(text, what="PCK chain", error=refusal(EvidenceCode.PCK_CHAIN))


def check_match(quote: Quote, platform: PckClaims, info: TcbInfo) -> None:
    """Step 14: TEE, FMSPC and PCEID of quote and TCB info agree."""
    pairs = (
        ("TEE", quote.tee.value, info.tee.value),
        ("FMSPC", platform.fmspc.hex().upper(), info.fmspc.hex().upper()),
        ("PCEID", platform.pce_id.hex().upper(), info.pce_id.hex().upper()),
    )
    for name, seen, wanted in pairs:
        require(
            seen == wanted, EvidenceCode.TCB_INFO_MISMATCH, f"the quote's {name} is {seen}, the TCB info's {wanted}"
        )


def check_qe_report(quote: Quote, pck: Certificate) -> None:
    """Steps 16 and 17: the chain of trust from the PCK key to the attestation key."""
    require(signed_raw(pck.point, quote.qe_report_signature, quote.qe_report_bytes),
            EvidenceCode.INVALID_QE_REPORT_SIGNATURE,
            "the quoting enclave's report is not signed by the PCK key")  # fmt: skip
    wanted = hashlib.sha256(quote.attestation_key + quote.qe_auth_data).digest() + _UPPER_HALF
    require(quote.qe_report.report_data == wanted, EvidenceCode.INVALID_QE_REPORT_DATA,
            f"the quoting enclave vouches for {quote.qe_report.report_data.hex()},"
            f" the quote's attestation key makes {wanted.hex()}")  # fmt: skip


def check_quote_signature(quote: Quote) -> None:
    """Step 20: header and body are what the attestation key signed."""
    point = _UNCOMPRESSED + quote.attestation_key
    require(is_point(point), EvidenceCode.UNSUPPORTED_QUOTE_FORMAT, "the attestation key is not a point on P-256")
    require(signed_raw(point, quote.signature, quote.signed), EvidenceCode.INVALID_QUOTE_SIGNATURE,
            "header and body are not what the attestation key signed")  # fmt: skip


def _verdict(
    quote: Quote,
    parsed: ParsedCollateral,
    reference: Reference,
    *,
    pck: TrustedPck,
    platform: PckClaims,
    tcb: TcbResult,
    at: datetime,
) -> Verdict:
    windows = (*reference.windows, *pck.windows)
    renewed_monthly = (reference.tcb_info.issued, reference.qe_identity.issued, parsed.pck_crl.this_update)
    anchor = reference.root.anchor
    return Verdict(
        trust_domain=anchor.domain,
        root_key_id=anchor.root_key_id,
        tee=quote.tee,
        quote_version=quote.version,
        body_type=quote.body_type,
        status=tcb.status,
        platform_status=tcb.platform_status,
        qe_status=tcb.qe_status,
        module_status=tcb.module_status,
        advisories=tcb.advisories,
        fmspc=platform.fmspc.hex().upper(),
        ca_type=pck.ca_type,
        tcb_date=tcb.level.date,
        tcb_eval=reference.tcb_info.evaluation_number,
        qe_eval=reference.qe_identity.evaluation_number,
        body=quote.body,
        pck=platform,
        earliest_issue=min(window.since for window in windows),
        latest_issue=max(window.since for window in windows),
        earliest_expiration=min(window.until for window in windows),
        collateral_issued=min(renewed_monthly),
        root_crl_number=parsed.root_crl.number,
        pck_crl_number=parsed.pck_crl.number,
        collateral_ids=parsed.ids,
        verified_at=at,
        trailing_len=quote.trailing_len,
    )
