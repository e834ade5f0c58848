"""Judge collateral: steps 2 to 7 of the verification order (section 5), which do not need a quote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from strongroom.attestation.anchors import Anchor
from strongroom.attestation.certificates import Certificate
from strongroom.attestation.chain import TrustedRoot, check_signer, find_root
from strongroom.attestation.codes import EvidenceCode, require
from strongroom.attestation.collateral import ParsedCollateral, SignedDocument
from strongroom.attestation.identity import EnclaveIdentity, parse_identity
from strongroom.attestation.signatures import signed_raw
from strongroom.attestation.tcb_info import TcbInfo, parse_tcb_info
from strongroom.attestation.validity import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Reference data that hold under an anchor; only `check_collateral` makes it.

    `windows` are the time checks in their order, so that the result can be asked again at another time.
    """

    root: TrustedRoot
    tcb_info: TcbInfo
    qe_identity: EnclaveIdentity
    windows: tuple[Window, ...]


def check_collateral(parsed: ParsedCollateral, *, anchors: Sequence[Anchor], at: datetime) -> Reference:
    """Return the reference data in `parsed`, verified at `at`; raise EvidenceRefused with the first code that fails."""
    # 2. The root's key is an anchor's.
    chains = (parsed.pck_crl_chain, parsed.tcb_info.chain, parsed.qe_identity.chain)
    root = find_root(chains, anchors, at=at)
    # 3. The root's revocation list.
    root_crl = parsed.root_crl
    crl_window = root_crl.check(root.certificate, at=at)
    require(root.certificate.serial not in root_crl.revoked, EvidenceCode.ROOT_REVOKED, "the root lists itself")
    # 4 and 5. The signer of the TCB info.
    signer, signer_windows = check_signer(parsed.tcb_info.chain, root, root_crl, at=at)
    # 6. The TCB info.
    _check_signed(parsed.tcb_info, signer, EvidenceCode.TCB_INFO_INVALID_SIGNATURE, "TCB info")
    tcb_info = parse_tcb_info(parsed.tcb_info.text)
    tcb_info.window.require(at)
    # 7. The QE identity, likewise.
    qe_signer, qe_signer_windows = signer, signer_windows
    if parsed.qe_identity.chain != parsed.tcb_info.chain:
        qe_signer, qe_signer_windows = check_signer(parsed.qe_identity.chain, root, root_crl, at=at)
    _check_signed(parsed.qe_identity, qe_signer, EvidenceCode.QE_IDENTITY_INVALID_SIGNATURE, "QE identity")
    qe_identity = parse_identity(parsed.qe_identity.text)
    qe_identity.window.require(at)
    windows = (
        *(root.window, crl_window),
        *(*signer_windows, tcb_info.window),
        *(*qe_signer_windows, qe_identity.window),
    )
    return Reference(root=root, tcb_info=tcb_info, qe_identity=qe_identity, windows=windows)


def _check_signed(document: SignedDocument, signer: Certificate, code: EvidenceCode, what: str) -> None:
    require(signed_raw(signer.point, document.signature, document.text), code,
            f"the {what} is not what {signer.common_name!r} signed, byte for byte")  # fmt: skip
