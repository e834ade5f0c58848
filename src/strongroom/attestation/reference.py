"""Judge collateral: steps 2 to 7 of the verification order (section 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from strongroom.attestation.anchors import Anchor
from strongroom.attestation.certificates import Certificate
from strongroom.attestation.chain import Chain, TrustedRoot, Windows, check_signer, find_root
from strongroom.attestation.codes import EvidenceCode, EvidenceRefused, require
from strongroom.attestation.collateral import CollateralParts
from strongroom.attestation.crl import Crl
from strongroom.attestation.identity import EnclaveIdentity, parse_identity
from strongroom.attestation.signatures import signed_raw
from strongroom.attestation.steps import at_step
from strongroom.attestation.tcb_info import TcbInfo, parse_tcb_info
from strongroom.attestation.validity import NO_GRACE

_CHAINS: Final = ("pck_crl_issuer_chain", "tcb_info_issuer_chain", "qe_identity_issuer_chain")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Reference data that hold under an anchor; only `check_collateral` makes it.

    `windows` are the time checks in their order, so that the result can be asked again at another time.
    """

    root: TrustedRoot
    root_crl: Crl
    tcb_info: TcbInfo
    qe_identity: EnclaveIdentity
    windows: Windows


def check_collateral(
    parts: CollateralParts,
    *,
    anchors: Sequence[Anchor],
    at: datetime,
    grace: timedelta = NO_GRACE,
    pck_chain: Callable[[], Chain] | None = None,
) -> Reference:
    """Return the reference data in `parts`, verified at `at`; raise EvidenceRefused with the first code that fails.

    `pck_chain` reads the quote's chain: one more place where a certificate of the root may be found. `grace` excuses
    the expiry of CRL, TCB info and QE identity for so long, never that of a certificate.
    """
    # 2. The root's key is an anchor's.
    with at_step(2):
        root = _find_root(parts, anchors, at, pck_chain)
    # 3. The root's revocation list.
    with at_step(3):
        root_crl = parts.root_crl()
        crl_window = root_crl.check(root.certificate, at=at, grace=grace, step=3)
        require(root.certificate.serial not in root_crl.revoked, EvidenceCode.ROOT_REVOKED, "the root lists itself")
    # 4 and 5. The signer of the TCB info.
    with at_step(4):
        chain = parts.chain("tcb_info_issuer_chain", EvidenceCode.TCB_SIGNING_CHAIN)
    signer, signer_windows = check_signer(chain, root, root_crl, at=at)
    # 6. The TCB info.
    with at_step(6):
        tcb_info = parse_tcb_info(_signed(parts, "tcb_info", EvidenceCode.TCB_INFO_INVALID_SIGNATURE, signer))
        tcb_info.window.require(at, grace)
    # 7. The QE identity, likewise.
    with at_step(7):
        qe_signer, qe_signer_windows = signer, signer_windows
        if parts.text("qe_identity_issuer_chain") != parts.text("tcb_info_issuer_chain"):
            qe_chain = parts.chain("qe_identity_issuer_chain", EvidenceCode.TCB_SIGNING_CHAIN)
            qe_signer, qe_signer_windows = check_signer(qe_chain, root, root_crl, at=at, steps=(7, 7))
        code = EvidenceCode.QE_IDENTITY_INVALID_SIGNATURE
        qe_identity = parse_identity(_signed(parts, "qe_identity", code, qe_signer))
        qe_identity.window.require(at, grace)
    windows = (
        *(root.window, crl_window),
        *(*signer_windows, tcb_info.window),
        *(*qe_signer_windows, qe_identity.window),
    )
    return Reference(root=root, root_crl=root_crl, tcb_info=tcb_info, qe_identity=qe_identity, windows=windows)


def _find_root(
    parts: CollateralParts, anchors: Sequence[Anchor], at: datetime, pck_chain: Callable[[], Chain] | None
) -> TrustedRoot:
    """Return a root certificate with an anchor's key, out of whichever chain can be read; steps 4 to 8 judge them."""
    readers = [lambda name=name: parts.chain(name, EvidenceCode.ROOT_UNTRUSTED) for name in _CHAINS]
    chains: list[Chain] = []
    for read in (*readers, pck_chain):
        if read is None:
            continue
        try:
            chain = read()
        except EvidenceRefused:
            continue
        if any(chain[-1].point == anchor.public_key for anchor in anchors):
            return find_root((chain,), anchors, at=at)
        chains.append(chain)
    require(bool(chains), EvidenceCode.ROOT_UNTRUSTED, "no chain can be read: neither the collateral's nor the quote's")
    return find_root(chains, anchors, at=at)


def _signed(parts: CollateralParts, name: str, code: EvidenceCode, signer: Certificate) -> bytes:
    """Return a document that its signer signed, byte for byte."""
    text = parts.text(name)
    require(signed_raw(signer.point, parts.signature(f"{name}_signature", code), text), code,
            f"the {name} is not what {signer.common_name!r} signed, byte for byte")  # fmt: skip
    return text
