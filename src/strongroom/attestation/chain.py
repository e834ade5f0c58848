"""Chains and roles: who signed whom, under which name, and whether each may do what it did (sections 3 and 5).

Each function is one block of the verification order and raises the first code that fails. The root is judged by its
key; names are compared whole, as bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from strongroom.attestation.anchors import INTEL_ROOT_CERTIFICATES, Anchor, TrustDomain
from strongroom.attestation.certificates import Certificate, KeyUsage
from strongroom.attestation.codes import EvidenceCode, EvidenceRefused, require
from strongroom.attestation.crl import Crl
from strongroom.attestation.intel_certificates import signed_by_intel
from strongroom.attestation.signatures import signed_der
from strongroom.attestation.steps import at_step
from strongroom.attestation.validity import NO_GRACE, Window

ROOT: Final = "Root CA"
TCB_SIGNING: Final = "TCB Signing"
PCK_CERTIFICATE: Final = "PCK Certificate"
PCK_CAS: Final = {"PCK Platform CA": "platform", "PCK Processor CA": "processor"}
_CA_USAGE: Final = KeyUsage.KEY_CERT_SIGN | KeyUsage.CRL_SIGN

Chain = tuple[Certificate, ...]
Windows = tuple[Window, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedRoot:
    """A root certificate whose key is an anchor's; only `find_root` makes one."""

    certificate: Certificate
    anchor: Anchor
    anchors: tuple[Anchor, ...]  # all that were offered, to name what an untrusted chain is
    window: Window


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedPck:
    """A PCK certificate with its CA that passed steps 8 to 12; only `check_pck_chain` makes one."""

    leaf: Certificate
    ca: Certificate
    ca_type: str  # "platform" or "processor"
    crl_number: int
    crl_issued: datetime
    windows: Windows


def find_root(chains: Sequence[Chain], anchors: Sequence[Anchor], *, at: datetime) -> TrustedRoot:
    """Return the first of the chains' ends whose key is an anchor's (step 2)."""
    ends = [chain[-1] for chain in chains]
    for end in ends:
        for anchor in anchors:
            if end.point == anchor.public_key:
                _check_root(end, anchor, EvidenceCode.ROOT_UNTRUSTED)
                window = Window("root certificate", end.since, end.until, EvidenceCode.ROOT_EXPIRED, step=2)
                window.require(at)
                return TrustedRoot(certificate=end, anchor=anchor, anchors=tuple(anchors), window=window)
    raise _untrusted(ends[0], anchors, EvidenceCode.ROOT_UNTRUSTED)


def check_signer(
    chain: Chain, root: TrustedRoot, root_crl: Crl, *, at: datetime, steps: tuple[int, int] = (4, 5)
) -> tuple[Certificate, Windows]:
    """Return the TCB signer of a chain of exactly signer and root, and its windows.

    Chain and signer are steps 4 and 5, or, for the QE identity, both step 7.
    """
    with at_step(steps[0]):
        require(len(chain) == 2, EvidenceCode.TCB_SIGNING_CHAIN,
                f"the TCB signer's chain has {len(chain)} certificates, wanted signer and root")  # fmt: skip
        untrusted, expired = EvidenceCode.TCB_SIGNING_CHAIN_UNTRUSTED, EvidenceCode.TCB_SIGNING_EXPIRED
        end_windows = _check_end(chain, root, untrusted, expired, at=at, step=steps[0])
    with at_step(steps[1]):
        signer = chain[0]
        _check_name(signer, root, (TCB_SIGNING,), EvidenceCode.TCB_SIGNING_CERT_MISSING)
        _check_issued(signer, root.certificate, EvidenceCode.TCB_SIGNING_INVALID_ISSUER)
        require(not signer.is_ca, EvidenceCode.TCB_SIGNING_CERT_MISSING, "the TCB signer claims to be an authority")
        _check_usage(signer, KeyUsage.DIGITAL_SIGNATURE, EvidenceCode.TCB_SIGNING_CERT_MISSING)
        window = Window("TCB signer", signer.since, signer.until, expired, step=steps[1])
        window.require(at)
        _check_listed(signer, root_crl, EvidenceCode.TCB_SIGNING_REVOKED)
    return signer, (*end_windows, window)


def check_pck_chain(
    chain: Callable[[], Chain],
    root: TrustedRoot,
    root_crl: Crl,
    pck_crl: Callable[[], Crl],
    *,
    at: datetime,
    grace: timedelta = NO_GRACE,
) -> TrustedPck:
    """Return the PCK certificate of a chain of exactly leaf, PCK CA and root (steps 8 to 12).

    Chain and revocation list are read when their step comes, so that refusals keep the order of the steps.
    """
    # 8. Exactly three certificates, and the same root.
    with at_step(8):
        certificates = chain()
        require(len(certificates) == 3, EvidenceCode.PCK_CHAIN,
                f"the PCK chain has {len(certificates)} certificates, wanted leaf, PCK CA and root")  # fmt: skip
        leaf, ca, _ = certificates
        untrusted, expired = EvidenceCode.PCK_CERT_CHAIN_UNTRUSTED, EvidenceCode.PCK_CHAIN_EXPIRED
        end_windows = _check_end(certificates, root, untrusted, expired, at=at, step=8)
    # 9. Names of the roles.
    with at_step(9):
        _check_name(leaf, root, (PCK_CERTIFICATE,), EvidenceCode.SGX_PCK_MISSING)
        ca_name = _check_name(ca, root, tuple(PCK_CAS), EvidenceCode.INTERMEDIATE_CA)
    # 10. Signatures downwards, both ends of each validity, and what each may do.
    with at_step(10):
        windows = _check_issuance(leaf, ca, root, at=at)
    # 11. The CA's revocation list.
    with at_step(11):
        listed = pck_crl()
        crl_window = listed.check(ca, at=at, grace=grace, step=11)
    # 12. Nobody in the chain is revoked.
    with at_step(12):
        _check_listed(ca, root_crl, EvidenceCode.INTERMEDIATE_REVOKED)
        _check_listed(leaf, listed, EvidenceCode.PCK_REVOKED)
    return TrustedPck(
        leaf=leaf,
        ca=ca,
        ca_type=PCK_CAS[ca_name],
        crl_number=listed.number,
        crl_issued=listed.this_update,
        windows=(*end_windows, *windows, crl_window),
    )


def _check_issuance(leaf: Certificate, ca: Certificate, root: TrustedRoot, *, at: datetime) -> Windows:
    _check_issued(ca, root.certificate, EvidenceCode.INTERMEDIATE_INVALID_ISSUER)
    _check_issued(leaf, ca, EvidenceCode.PCK_INVALID_ISSUER)
    windows = tuple(
        Window(what, certificate.since, certificate.until, EvidenceCode.PCK_CHAIN_EXPIRED, step=10)
        for what, certificate in (("PCK CA", ca), ("PCK certificate", leaf))
    )
    for window in windows:
        window.require(at)
    _check_authority(ca, EvidenceCode.INTERMEDIATE_CA, path_lengths=(0,))
    require(not leaf.is_ca and KeyUsage.KEY_CERT_SIGN not in leaf.key_usage, EvidenceCode.PCK_IS_CA,
            "the PCK certificate claims to be an authority")  # fmt: skip
    _check_usage(leaf, KeyUsage.DIGITAL_SIGNATURE, EvidenceCode.INVALID_PCK_CERT)
    return windows


def _check_root(root: Certificate, anchor: Anchor, code: EvidenceCode) -> None:
    """Check that the holder of an anchor's key issued this root to itself, under the root's name."""
    require(root.common_name == f"{anchor.cn_prefix} {ROOT}", code,
            f"the root is named {root.common_name[:64]!r}, wanted '{anchor.cn_prefix} {ROOT}'")  # fmt: skip
    if hashlib.sha256(root.encoded).digest() not in INTEL_ROOT_CERTIFICATES:  # which are known to hold
        _check_issued(root, root, code)
    _check_authority(root, code, path_lengths=(None, 1))
    _check_marker((root,), anchor)


def _check_end(
    chain: Chain, root: TrustedRoot, code: EvidenceCode, expired: EvidenceCode, *, at: datetime, step: int
) -> Windows:
    """Check that a chain ends at the trusted root, or at another issue of it, whose window is returned."""
    end = chain[-1]
    if end.point != root.anchor.public_key:
        raise _untrusted(end, root.anchors, code)
    _check_marker(chain, root.anchor)
    if end.encoded == root.certificate.encoded:
        return ()
    _check_root(end, root.anchor, code)
    window = Window("root certificate", end.since, end.until, expired, step=step)
    window.require(at)
    return (window,)


def _check_marker(chain: Chain, anchor: Anchor) -> None:
    """Refuse a simulator's certificate below Intel's key, whatever else it says (section 14.2)."""
    marked = anchor.domain is TrustDomain.INTEL and any(certificate.simulated for certificate in chain)
    require(not marked, EvidenceCode.SIMULATED_EVIDENCE, "a certificate below Intel's root is marked as simulated")


def _untrusted(end: Certificate, anchors: Sequence[Anchor], code: EvidenceCode) -> EvidenceRefused:
    """Return the refusal of an unknown root; a simulator's root has its own code where no simulator is trusted."""
    if end.simulated and all(anchor.domain is TrustDomain.INTEL for anchor in anchors):
        return EvidenceRefused(
            f"the evidence ends at {end.common_name[:64]!r}, the root of a simulated platform, which is no anchor here",
            reason=EvidenceCode.SIMULATED_EVIDENCE,
        )
    return EvidenceRefused(f"the chain ends at {end.common_name[:64]!r} with a key that is no anchor's", reason=code)


def _check_name(certificate: Certificate, root: TrustedRoot, roles: tuple[str, ...], code: EvidenceCode) -> str:
    """Return which of the roles the certificate is named for; whole names, no substrings."""
    prefix = root.anchor.cn_prefix
    for role in roles:
        if certificate.common_name == f"{prefix} {role}":
            return role
    wanted = " or ".join(f"'{prefix} {role}'" for role in roles)
    raise EvidenceRefused(f"the certificate is named {certificate.common_name[:64]!r}, wanted {wanted}", reason=code)


def _check_issued(certificate: Certificate, issuer: Certificate, code: EvidenceCode) -> None:
    point = issuer.point
    if certificate.issuer == issuer.subject and (
        signed_by_intel(certificate, point) or signed_der(point, certificate.signature, certificate.signed)
    ):
        return
    raise EvidenceRefused(
        f"{certificate.common_name[:64]!r} was not issued by {issuer.common_name[:64]!r}", reason=code
    )


def _check_authority(certificate: Certificate, code: EvidenceCode, *, path_lengths: tuple[int | None, ...]) -> None:
    if not certificate.is_ca:
        raise EvidenceRefused(f"{certificate.common_name!r} is not an authority", reason=code)
    if certificate.path_length not in path_lengths:
        raise EvidenceRefused(f"{certificate.common_name!r} has path length {certificate.path_length}", reason=code)
    _check_usage(certificate, _CA_USAGE, code)


def _check_usage(certificate: Certificate, wanted: KeyUsage, code: EvidenceCode) -> None:
    if wanted not in certificate.key_usage:
        raise EvidenceRefused(f"{certificate.common_name!r} may not be used for {wanted.name}", reason=code)
    if certificate.unknown_critical:
        raise EvidenceRefused(
            f"{certificate.common_name!r} has critical extensions that are not understood", reason=code
        )


def _check_listed(certificate: Certificate, crl: Crl, code: EvidenceCode) -> None:
    if certificate.serial in crl.revoked:
        raise EvidenceRefused(
            f"serial number {certificate.serial:X} ({certificate.common_name}) is on the {crl.what}", reason=code
        )
