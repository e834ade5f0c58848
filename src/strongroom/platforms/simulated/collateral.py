"""The collateral of a simulated world: TCB info, QE identity and both CRLs, signed as Intel signs them.

Pure but for signing randomness. JSON is compact and signed over exactly the bytes that are handed out; CRLs are DER
with CRLNumber and AKI (spec sections 4 and 14.1). Every window is relative to the `now` that the caller passes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from strongroom.attestation import Collateral, TcbStatus
from strongroom.platforms.simulated.certificates import Holder, authority_key_identifier
from strongroom.platforms.simulated.hardware import Hardware, Rehearsal, Revocation
from strongroom.platforms.simulated.signatures import raw_signature

TCB_DATE: Final = "2025-08-01T00:00:00Z"
OLDER_TCB_DATE: Final = "2023-02-15T00:00:00Z"
QE_PRODUCT: Final = 1
ROOT_CRL_LIFETIME: Final = timedelta(days=365)
_MAX_SVN: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """Who signs what: the root and PCK CA their CRLs, the TCB signer the two JSON documents."""

    root: Holder
    pck_ca: Holder
    pck: Holder
    tcb_signer: Holder


def make_collateral(
    signers: Signers, hardware: Hardware, qe_signer: bytes, rehearsal: Rehearsal, *, now: datetime
) -> Collateral:
    """Return the nine values that judge a quote of this world at `now`; `qe_signer`: its quoting enclave."""
    issued = now.replace(microsecond=0) - rehearsal.age
    expires = issued + rehearsal.lifetime
    tcb_info = _compact(_tcb_info(hardware, rehearsal, issued, expires))
    qe_identity = _compact(_qe_identity(hardware, qe_signer, rehearsal, issued, expires))
    tcb_chain = signers.tcb_signer.pem + signers.root.pem
    from_root = [
        holder.certificate.serial_number
        for name, holder in ((Revocation.PCK_CA, signers.pck_ca), (Revocation.TCB_SIGNER, signers.tcb_signer))
        if name in rehearsal.revoked
    ]
    from_ca = [signers.pck.certificate.serial_number] if Revocation.PCK in rehearsal.revoked else []
    root_expires = max(expires, issued + ROOT_CRL_LIFETIME)
    return Collateral(
        tcb_info=tcb_info,
        tcb_info_signature=raw_signature(signers.tcb_signer.key, tcb_info.encode()).hex(),
        tcb_info_issuer_chain=tcb_chain,
        qe_identity=qe_identity,
        qe_identity_signature=raw_signature(signers.tcb_signer.key, qe_identity.encode()).hex(),
        qe_identity_issuer_chain=tcb_chain,
        root_ca_crl=_crl(signers.root, from_root, issued, root_expires).hex(),
        pck_crl=_crl(signers.pck_ca, from_ca, issued, expires).hex(),
        pck_crl_issuer_chain=signers.pck_ca.pem + signers.root.pem,
    )


def _compact(document: dict[str, object]) -> str:
    return json.dumps(document, separators=(",", ":"))


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _tcb_info(hardware: Hardware, rehearsal: Rehearsal, issued: datetime, expires: datetime) -> dict[str, object]:
    return {
        "id": "SGX",
        "version": 3,
        "issueDate": _stamp(issued),
        "nextUpdate": _stamp(expires),
        "fmspc": hardware.fmspc_hex,
        "pceId": hardware.pce_id.hex().upper(),
        "tcbType": 0,
        "tcbEvaluationDataNumber": rehearsal.evaluation_number,
        "tcbLevels": _tcb_levels(hardware, rehearsal),
    }


def _tcb_levels(hardware: Hardware, rehearsal: Rehearsal) -> list[dict[str, object]]:
    """Return levels from high to low: what Intel would want next, what this machine has, what is long out of date."""
    here, pce_svn = hardware.components, hardware.pce_svn
    ahead = _level(_raised(here), pce_svn + 1, TcbStatus.UP_TO_DATE, (), TCB_DATE)
    if rehearsal.unsupported:
        return [ahead]
    level = _level(here, pce_svn, rehearsal.status, rehearsal.advisories, TCB_DATE)
    behind = _level((0,) * len(here), 0, TcbStatus.OUT_OF_DATE, rehearsal.advisories, OLDER_TCB_DATE)
    return [level, behind] if rehearsal.status is TcbStatus.UP_TO_DATE else [ahead, level, behind]


def _raised(components: Sequence[int]) -> tuple[int, ...]:
    return tuple(min(svn + 1, _MAX_SVN) for svn in components)


def _level(
    components: Iterable[int], pce_svn: int, status: TcbStatus, advisories: tuple[str, ...], date: str
) -> dict[str, object]:
    tcb = {"sgxtcbcomponents": [{"svn": svn} for svn in components], "pcesvn": pce_svn}
    return _with_advisories({"tcb": tcb, "tcbDate": date, "tcbStatus": status.value}, advisories)


def _with_advisories(level: dict[str, object], advisories: tuple[str, ...]) -> dict[str, object]:
    """`advisoryIDs` is left out where it is empty, as Intel does."""
    return {**level, "advisoryIDs": list(advisories)} if advisories else level


def _qe_identity(
    hardware: Hardware, qe_signer: bytes, rehearsal: Rehearsal, issued: datetime, expires: datetime
) -> dict[str, object]:
    level: dict[str, object] = {
        "tcb": {"isvsvn": hardware.qe_svn},
        "tcbDate": TCB_DATE,
        "tcbStatus": rehearsal.qe_status.value,
    }
    return {
        "id": "QE",
        "version": 2,
        "issueDate": _stamp(issued),
        "nextUpdate": _stamp(expires),
        "tcbEvaluationDataNumber": rehearsal.qe_evaluation_number,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11" + "00" * 15,
        "attributesMask": "FB" + "FF" * 7 + "00" * 8,
        "mrsigner": qe_signer.hex().upper(),
        "isvprodid": QE_PRODUCT,
        "tcbLevels": [_with_advisories(level, rehearsal.qe_advisories)],
    }


def _crl(issuer: Holder, revoked: Iterable[int], issued: datetime, expires: datetime) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(issued)
        .next_update(expires)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(authority_key_identifier(issuer.key.public_key()), critical=False)
    )
    for serial in revoked:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(serial)
            .revocation_date(issued)
            .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
        )
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
