"""The collateral of a simulated world: TCB info, QE identity and both CRLs, signed as Intel signs them.

Pure but for signing randomness. JSON is compact and signed over exactly the bytes that are handed out; CRLs are DER
with CRLNumber and AKI (spec sections 4 and 14.1). Every window is relative to the `now` that the caller passes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from strongroom.attestation import Collateral, Tee
from strongroom.platforms.simulated.certificates import Holder, authority_key_identifier
from strongroom.platforms.simulated.hardware import Hardware, Rehearsal, Revocation
from strongroom.platforms.simulated.signatures import raw_signature
from strongroom.platforms.simulated.tcb_documents import Document, Window, qe_identity, tcb_info

ROOT_CRL_LIFETIME: Final = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """Who signs what: the root and PCK CA their CRLs, the TCB signer the two JSON documents."""

    root: Holder
    pck_ca: Holder
    pck: Holder
    tcb_signer: Holder


def make_collateral(
    signers: Signers, hardware: Hardware, qe_signer: bytes, rehearsal: Rehearsal, *, tee: Tee, now: datetime
) -> Collateral:
    """Return the nine values that judge a quote of this world at `now`; `qe_signer`: its quoting enclave for `tee`."""
    issued = now.replace(microsecond=0) - rehearsal.age
    window = Window(issued=issued, expires=issued + rehearsal.lifetime)
    info = _compact(tcb_info(hardware, rehearsal, window, tee))
    identity = _compact(qe_identity(hardware, qe_signer, rehearsal, window, tee))
    tcb_chain = signers.tcb_signer.pem + signers.root.pem
    from_root = [
        holder.certificate.serial_number
        for name, holder in ((Revocation.PCK_CA, signers.pck_ca), (Revocation.TCB_SIGNER, signers.tcb_signer))
        if name in rehearsal.revoked
    ]
    from_ca = [signers.pck.certificate.serial_number] if Revocation.PCK in rehearsal.revoked else []
    root_expires = max(window.expires, issued + ROOT_CRL_LIFETIME)
    return Collateral(
        tcb_info=info,
        tcb_info_signature=raw_signature(signers.tcb_signer.key, info.encode()).hex(),
        tcb_info_issuer_chain=tcb_chain,
        qe_identity=identity,
        qe_identity_signature=raw_signature(signers.tcb_signer.key, identity.encode()).hex(),
        qe_identity_issuer_chain=tcb_chain,
        root_ca_crl=_crl(signers.root, from_root, issued, root_expires).hex(),
        pck_crl=_crl(signers.pck_ca, from_ca, issued, window.expires).hex(),
        pck_crl_issuer_chain=signers.pck_ca.pem + signers.root.pem,
    )


def _compact(document: Document) -> str:
    return json.dumps(document, separators=(",", ":"))


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
