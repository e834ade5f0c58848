"""How simulated quotes name their platform: by the PCK chain, or by identifiers with which a chain can be looked up.

Pure. Real machines encrypt the PPID to Intel's RSA key (types 2 and 3). Here these bytes are no RSA ciphertext: they
are as long, and as opaque to everybody but the world that made them, which knows its own again (spec section 2.3).
"""

from __future__ import annotations

import hashlib
from typing import Final

from strongroom.attestation import CertificationType
from strongroom.attestation.certification import PPID_BYTES
from strongroom.platforms.simulated.hardware import Hardware

_DOMAIN: Final = b"strongroom simulated encrypted PPID"


def certification_data(kind: CertificationType, hardware: Hardware, pck_chain: str, leaf_pem: str) -> bytes:
    """Return the certification data of type `kind`."""
    match kind:
        case CertificationType.PCK_CHAIN:
            return pck_chain.encode("ascii") + b"\0"  # one NUL, as Intel's library writes it
        case CertificationType.PCK_LEAF:
            return leaf_pem.encode("ascii")
        case CertificationType.PLAIN_PPID:
            return hardware.ppid + _svns(hardware)
        case CertificationType.RSA_2048_PPID | CertificationType.RSA_3072_PPID:
            return encrypted_ppid(hardware, PPID_BYTES[kind]) + _svns(hardware)


def encrypted_ppid(hardware: Hardware, size: int = PPID_BYTES[CertificationType.RSA_3072_PPID]) -> bytes:
    """Return what stands for the encrypted PPID of a machine: 256 or 384 bytes, always the same for one machine."""
    return hashlib.shake_256(_DOMAIN + hardware.ppid + hardware.platform_instance_id).digest(size)


def tcbm(hardware: Hardware) -> str:
    """Return CPUSVN and PCESVN as the header SGX-TCBm spells them: 36 hex digits."""
    return (hardware.cpu_svn + hardware.pce_svn.to_bytes(2, "little")).hex()


def _svns(hardware: Hardware) -> bytes:
    return hardware.cpu_svn + hardware.pce_svn.to_bytes(2, "little") + hardware.pce_id
