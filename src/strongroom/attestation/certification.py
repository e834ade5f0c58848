"""Certification data: how a quote names the platform whose key signed the quoting enclave (specification section 2.3).

Type 5 carries the PCK chain itself. Types 1 to 3 name the platform, type 4 carries the leaf alone: for them the chain
comes from elsewhere (`pck_source` says what it must have in common with the quote).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from strongroom.attestation.codes import EvidenceCode, EvidenceRefused, refusal, require
from strongroom.wire import Reader


class CertificationType(IntEnum):
    """How the signature data name the platform."""

    PLAIN_PPID = 1
    RSA_2048_PPID = 2
    RSA_3072_PPID = 3
    PCK_LEAF = 4
    PCK_CHAIN = 5


_TYPES: Final = {kind.value: kind for kind in CertificationType}
PPID_BYTES: Final = {
    CertificationType.PLAIN_PPID: 16,
    CertificationType.RSA_2048_PPID: 256,
    CertificationType.RSA_3072_PPID: 384,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformIds:
    """What certification data of types 1 to 3 say of a platform. Nobody signed it: it serves to fetch a PCK chain."""

    ppid: bytes  # 16 bytes, or encrypted: 256 or 384 bytes
    encrypted: bool
    cpu_svn: bytes  # 16 bytes
    pce_svn: int
    pce_id: bytes  # 2 bytes as on the wire

    @property
    def tcbm(self) -> str:
        """CPUSVN and PCESVN as the header SGX-TCBm spells them: 36 hex digits, the PCESVN little-endian."""
        return (self.cpu_svn + self.pce_svn.to_bytes(2, "little")).hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class PckLookup:
    """What a provisioning service wants to know to find a PCK certificate (`pckcert`, specification section 11.1)."""

    encrypted_ppid: bytes  # 256 or 384 bytes
    cpu_svn: bytes  # 16 bytes
    pce_svn: int  # asked for as 4 hex digits, little-endian
    pce_id: bytes  # 2 bytes, asked for as they are
    qe_id: bytes  # 16 bytes; PCCS alone wants it


def certification_type(number: int) -> CertificationType:
    """Return the type of that number; raise EvidenceRefused (CERT_TYPE) for one that has no place in a quote."""
    kind = _TYPES.get(number)
    if kind is None:
        raise EvidenceRefused(
            f"the certification data are of type {number}, wanted 1 to 5", reason=EvidenceCode.CERT_TYPE
        )
    return kind


def read_platform_ids(kind: CertificationType, data: bytes) -> PlatformIds:
    """Return certification data of types 1 to 3, taken apart; refuse other types and other sizes."""
    size = PPID_BYTES.get(kind)
    if size is None:
        raise EvidenceRefused(
            f"certification data of type {kind.value} hold no platform ids", reason=EvidenceCode.CERT_TYPE_UNSUPPORTED
        )
    reader = Reader(data, what="certification data", error=refusal(EvidenceCode.QUOTE_TRUNCATED))
    ids = PlatformIds(
        ppid=reader.take(size, "PPID"),
        encrypted=kind is not CertificationType.PLAIN_PPID,
        cpu_svn=reader.take(16, "CPUSVN"),
        pce_svn=reader.u16("PCESVN"),
        pce_id=reader.take(2, "PCEID"),
    )
    require(reader.remaining == 0, EvidenceCode.AUTH_TRAILING,
            f"certification data: {reader.remaining} bytes are left over")  # fmt: skip
    return ids
