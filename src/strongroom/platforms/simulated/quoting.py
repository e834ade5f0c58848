"""The simulated quoting enclave: it signs SGX quotes, version 3, byte for byte as the real one lays them out.

Pure but for key generation inside `cryptography`; `entropy` draws the authentication data. One quoting enclave serves
one launched program: its attestation key is certified once, by a QE report that the machine's PCK key signs, and then
signs any number of quotes (about 0.1 ms each). Layout: spec sections 2 and 14.1.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.attestation import SgxReport
from strongroom.platforms.simulated.certificates import Holder
from strongroom.platforms.simulated.collateral import QE_PRODUCT
from strongroom.platforms.simulated.hardware import Hardware
from strongroom.platforms.simulated.signatures import raw_point, raw_signature

QUOTE_VERSION: Final = 3
ECDSA_P256: Final = 2
QE_VENDOR_ID: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
PEM_CHAIN: Final = 5  # certification data type: leaf, CA, root as PEM
REPORT_DATA_BYTES: Final = 64
QE_AUTH_BYTES: Final = 32

_INIT, _DEBUG, _MODE64, _PROVISION_KEY = 0x1, 0x2, 0x4, 0x10
_XFRM: Final = 0xE7  # x87, SSE, AVX, AVX-512


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveIdentity:
    """Who a launched program is: 32-byte measurement and signer, product, security version, debug flag."""

    mr_enclave: bytes
    mr_signer: bytes
    isv_prod_id: int
    isv_svn: int
    debug: bool = False

    def report(self, hardware: Hardware, report_data: bytes) -> SgxReport:
        """Return the report that SGX would write on `hardware`; `report_data` has 64 bytes."""
        flags = _INIT | _MODE64 | (_DEBUG if self.debug else 0)
        return replace(
            blank_report(hardware, flags),
            mr_enclave=self.mr_enclave,
            mr_signer=self.mr_signer,
            isv_prod_id=self.isv_prod_id,
            isv_svn=self.isv_svn,
            report_data=report_data,
        )


class QuotingEnclave:
    """Signs reports with an attestation key of its own. Threads may share it."""

    def __init__(
        self,
        pck: Holder,
        chain_pem: str,
        hardware: Hardware,
        qe_signer: bytes,
        *,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._hardware = hardware
        self._header = _header(hardware)
        self._certified = self._certify(pck, qe_signer, entropy(QE_AUTH_BYTES)) + _chain(chain_pem)

    def quote(self, identity: EnclaveIdentity, report_data: bytes) -> bytes:
        """Return a quote over `identity` and the 64 bytes of `report_data`; about 4 kB."""
        if len(report_data) != REPORT_DATA_BYTES:
            raise ValueError(f"report data has {REPORT_DATA_BYTES} bytes, not {len(report_data)}")
        return self.sign(identity.report(self._hardware, report_data))

    def sign(self, report: SgxReport) -> bytes:
        """Return a quote over any report, as an attacker who owns the machine could have made it."""
        signed = self._header + report.to_bytes()
        signature = raw_signature(self._key, signed) + self._certified
        return signed + struct.pack("<I", len(signature)) + signature

    def _certify(self, pck: Holder, qe_signer: bytes, auth: bytes) -> bytes:
        """Return attestation key, QE report, its signature by the PCK key, and the authentication data."""
        point = raw_point(self._key.public_key())
        report = replace(
            blank_report(self._hardware, _INIT | _MODE64 | _PROVISION_KEY),
            mr_enclave=hashlib.sha256(b"strongroom simulated quoting enclave").digest(),
            mr_signer=qe_signer,
            isv_prod_id=QE_PRODUCT,
            isv_svn=self._hardware.qe_svn,
            report_data=hashlib.sha256(point + auth).digest() + bytes(32),
        ).to_bytes()
        return point + report + raw_signature(pck.key, report) + struct.pack("<H", len(auth)) + auth


def blank_report(hardware: Hardware, flags: int) -> SgxReport:
    """Return a report of this machine with the attribute `flags` and zeros everywhere else."""
    return SgxReport(
        cpu_svn=hardware.cpu_svn,
        misc_select=0,
        isv_ext_prod_id=bytes(16),
        attributes=struct.pack("<QQ", flags, _XFRM),
        mr_enclave=bytes(32),
        mr_signer=bytes(32),
        config_id=bytes(64),
        isv_prod_id=0,
        isv_svn=0,
        config_svn=0,
        isv_family_id=bytes(16),
        report_data=bytes(REPORT_DATA_BYTES),
    )


def _header(hardware: Hardware) -> bytes:
    """Return the 48 bytes before the report: version, key type, reserved, SVNs, vendor, QE id padded to 20 bytes."""
    numbers = struct.pack("<HHIHH", QUOTE_VERSION, ECDSA_P256, 0, hardware.qe_svn, hardware.pce_svn)
    return numbers + QE_VENDOR_ID + hardware.qe_id + bytes(4)


def _chain(pem: str) -> bytes:
    """Return certification data: the PEM chain ends in one NUL byte, as Intel's library writes it."""
    chain = pem.encode("ascii") + b"\0"
    return struct.pack("<HI", PEM_CHAIN, len(chain)) + chain
