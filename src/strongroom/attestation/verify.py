"""Verify a quote: the order of the specification's section 5, which decides the code that is reported first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Final

from strongroom.attestation.anchors import Anchor
from strongroom.attestation.certificates import Certificate
from strongroom.attestation.chain import TrustedPck, check_pck_chain
from strongroom.attestation.codes import EvidenceCode, EvidenceRefused, require
from strongroom.attestation.collateral import Collateral, CollateralParts
from strongroom.attestation.pck import PckClaims, read_pck_claims
from strongroom.attestation.pck_source import PckSource, pck_source, unchecked_source
from strongroom.attestation.quote import Quote, parse_quote
from strongroom.attestation.reference import Reference, check_collateral
from strongroom.attestation.signatures import is_point, signed_raw
from strongroom.attestation.steps import at_step
from strongroom.attestation.tcb import MODULE_VERSION, TcbResult, evaluate
from strongroom.attestation.tcb_info import TcbInfo
from strongroom.attestation.td_report import TdReport
from strongroom.attestation.validity import NO_GRACE, require_zone
from strongroom.attestation.verdict import Verdict

_UNCOMPRESSED: Final = b"\x04"
_UPPER_HALF: Final = bytes(32)
CHAINS_KEPT: Final = 256  # whose platform family is remembered; about 4 kB each


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedPlatform:
    """A platform whose PCK certificate holds under an anchor; only `check_platform` makes one (steps 8 to 13)."""

    pck: TrustedPck
    claims: PckClaims


def verify(
    evidence: bytes,
    collateral: Collateral,
    *,
    anchors: Sequence[Anchor],
    at: datetime,
    collateral_grace: timedelta = NO_GRACE,
) -> Verdict:
    """Return what a quote proves at the time `at` under the given anchors; raise EvidenceRefused if it does not hold.

    `at` must carry its zone. Nothing in evidence or collateral adds to `anchors`. `collateral_grace` lets CRLs, TCB
    info and QE identity count so much longer than they say, never certificates, and never before their time; the
    verdict names what it excused (`in_grace`).
    """
    require_zone(at)
    # 1. Structure of the quote, and what belongs to it.
    with at_step(1):
        quote = parse_quote(evidence)
        parts = CollateralParts(collateral)
        source = pck_source(quote, chain=parts.text("pck_certificate_chain"), tcbm=parts.text("pck_tcbm"))
    # 2 to 7. Root, root CRL, TCB signer, TCB info, QE identity.
    reference = check_collateral(parts, anchors=anchors, at=at, grace=collateral_grace, pck_chain=source.chain)
    # 8 to 13. PCK chain, its roles and dates, PCK CRL, revocation, SGX extension.
    platform = check_platform(source, parts, reference, at=at, grace=collateral_grace)
    # 14 to 21. What the quote says, under both.
    tcb = check_quote(quote, platform, reference)
    return make_verdict(quote, platform, reference, tcb, collateral_ids=parts.ids(), at=at)


def check_platform(
    source: PckSource, parts: CollateralParts, reference: Reference, *, at: datetime, grace: timedelta = NO_GRACE
) -> TrustedPlatform:
    """Return the platform of a PCK chain that holds at `at`, revocation included."""
    pck = check_pck_chain(
        partial(source.chain, parts.known()), reference.root, reference.root_crl, parts.pck_crl, at=at, grace=grace
    )
    # 13. The SGX extension says which platform this is.
    with at_step(13):
        claims = read_pck_claims(pck.leaf)
        source.check(claims)
    return TrustedPlatform(pck=pck, claims=claims)


def check_quote(quote: Quote, platform: TrustedPlatform, reference: Reference) -> TcbResult:
    """Return how current platform and quoting enclave are, once the quote holds under both; no step asks the time."""
    report = quote.body if isinstance(quote.body, TdReport) else None
    # 14. The TCB info is for this kind of TEE and this platform.
    with at_step(14):
        check_match(quote, platform.claims, reference.tcb_info)
    # 15. The TDX module is one that the TCB info describes.
    if report is not None:
        with at_step(15):
            check_module(report, reference.tcb_info)
    # 16 and 17. The platform signed the quoting enclave's report, and that report names the attestation key.
    check_qe_report(quote, platform.pck.leaf)
    # 18. The quoting enclave is the one that Intel describes.
    with at_step(18):
        reference.qe_identity.check(quote.qe_report, quote.tee)
    # 19. How current the quoting enclave is.
    with at_step(19):
        qe_level = reference.qe_identity.level_of(quote.qe_report)
    # 20. The attestation key signed header and body.
    with at_step(20):
        check_quote_signature(quote)
    # 21. How current the platform is; all together. (22 is policy: see `appraise`.)
    with at_step(21):
        return evaluate(platform.claims, reference.tcb_info, qe_level, report)


def fmspc_of(quote: Quote, chain: str | None = None) -> str:
    """Return the platform family (12 hex digits, upper case) that the PCK certificate names, unverified.

    `chain` is the PCK chain (PEM, leaf first) for quotes that do not carry theirs.
    """
    return _fmspc_in(unchecked_source(quote, _chain_bytes(chain)))


@lru_cache(maxsize=CHAINS_KEPT)
def _fmspc_in(source: PckSource) -> str:
    """Read a chain once, however many quotes carry it; refusals are not remembered."""
    return read_pck_claims(source.chain()[0]).fmspc.hex().upper()


def pck_chain_of(quote: Quote, chain: str | None = None) -> tuple[Certificate, ...]:
    """Return the PCK chain, leaf first, unverified: the quote's own, or `chain` where the quote carries none."""
    return unchecked_source(quote, _chain_bytes(chain)).chain()


def _chain_bytes(chain: str | None) -> bytes:
    return (chain or "").encode("utf-8", errors="replace")


def check_match(quote: Quote, platform: PckClaims, info: TcbInfo) -> None:
    """Step 14: TEE, FMSPC and PCEID of quote and TCB info agree."""
    if quote.tee is not info.tee:
        raise _mismatch("TEE", quote.tee.value, info.tee.value)
    if platform.fmspc != info.fmspc:
        raise _mismatch("FMSPC", platform.fmspc.hex().upper(), info.fmspc.hex().upper())
    if platform.pce_id != info.pce_id:
        raise _mismatch("PCEID", platform.pce_id.hex().upper(), info.pce_id.hex().upper())


def _mismatch(name: str, seen: str, wanted: str) -> EvidenceRefused:
    return EvidenceRefused(
        f"the quote's {name} is {seen}, the TCB info's {wanted}", reason=EvidenceCode.TCB_INFO_MISMATCH
    )


def check_module(report: TdReport, info: TcbInfo) -> None:
    """Step 15: the module that the TD was launched under."""
    if info.tdx_modules is None:
        raise EvidenceRefused("the TCB info describes no TDX module", reason=EvidenceCode.TCB_INFO_MISMATCH)
    info.tdx_modules.of_version(report.tee_tcb_svn[MODULE_VERSION]).check(report)


def check_qe_report(quote: Quote, pck: Certificate) -> None:
    """Steps 16 and 17: the chain of trust from the PCK key to the attestation key."""
    with at_step(16):
        require(signed_raw(pck.point, quote.qe_report_signature, quote.qe_report_bytes),
                EvidenceCode.INVALID_QE_REPORT_SIGNATURE,
                "the quoting enclave's report is not signed by the PCK key")  # fmt: skip
    with at_step(17):
        wanted = hashlib.sha256(quote.attestation_key + quote.qe_auth_data).digest() + _UPPER_HALF
        if quote.qe_report.report_data != wanted:
            raise EvidenceRefused(
                f"the quoting enclave vouches for {quote.qe_report.report_data.hex()},"
                f" the quote's attestation key makes {wanted.hex()}",
                reason=EvidenceCode.INVALID_QE_REPORT_DATA,
            )


def check_quote_signature(quote: Quote) -> None:
    """Step 20: header and body are what the attestation key signed."""
    point = _UNCOMPRESSED + quote.attestation_key
    require(is_point(point), EvidenceCode.UNSUPPORTED_QUOTE_FORMAT, "the attestation key is not a point on P-256")
    require(signed_raw(point, quote.signature, quote.signed), EvidenceCode.INVALID_QUOTE_SIGNATURE,
            "header and body are not what the attestation key signed")  # fmt: skip


def make_verdict(
    quote: Quote,
    platform: TrustedPlatform,
    reference: Reference,
    tcb: TcbResult,
    *,
    collateral_ids: tuple[tuple[str, str], ...],
    at: datetime,
) -> Verdict:
    """Return the verdict of evidence that passed every step at `at`."""
    pck, windows = platform.pck, (*reference.windows, *platform.pck.windows)
    since, until = [window.since for window in windows], [window.until for window in windows]
    renewed_monthly = (reference.tcb_info.issued, reference.qe_identity.issued, pck.crl_issued)
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
        fmspc=platform.claims.fmspc.hex().upper(),
        ca_type=pck.ca_type,
        tcb_date=tcb.level.date,
        tcb_eval=reference.tcb_info.evaluation_number,
        qe_eval=reference.qe_identity.evaluation_number,
        body=quote.body,
        pck=platform.claims,
        pck_serial=pck.leaf.serial,
        attestation_key=quote.attestation_key,
        earliest_issue=min(since),
        latest_issue=max(since),
        earliest_expiration=min(until),
        collateral_issued=min(renewed_monthly),
        root_crl_number=reference.root_crl.number,
        pck_crl_number=pck.crl_number,
        collateral_ids=collateral_ids,
        verified_at=at,
        trailing_len=quote.trailing_len,
        in_grace=tuple(window.what for window in windows if window.excused(at)),
    )
