"""The simulated quoting enclave: it signs quotes of versions 3 to 5, byte for byte as the real one lays them out.

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

from strongroom.attestation import BodyType, CertificationType, SgxReport, TdReport, Tee
from strongroom.attestation.quote import ECDSA_P256, QE_REPORT_CERTIFICATION, QE_VENDOR_ID
from strongroom.attestation.report import Attributes
from strongroom.platforms.simulated.certificates import Holder
from strongroom.platforms.simulated.hardware import Hardware
from strongroom.platforms.simulated.identities import REPORT_DATA_BYTES, Identity, blank_report
from strongroom.platforms.simulated.signatures import raw_point, raw_signature
from strongroom.platforms.simulated.tcb_documents import QE_PRODUCTS

QE_AUTH_BYTES: Final = 32
TEE_TYPES: Final = {Tee.SGX: 0x00, Tee.TDX: 0x81}
DEFAULT_VERSIONS: Final = {Tee.SGX: 3, Tee.TDX: 4}  # what real quoting enclaves write unasked
VERSIONS: Final = {Tee.SGX: (3, 4, 5), Tee.TDX: (4, 5)}
_QE_CODE: Final = {
    Tee.SGX: b"strongroom simulated quoting enclave",
    Tee.TDX: b"strongroom simulated TD quoting enclave",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteFormat:
    """How quotes are written: for which TEE, in which version, naming the platform how."""

    tee: Tee = Tee.SGX
    version: int = 3
    certification: CertificationType = CertificationType.PCK_CHAIN

    def __post_init__(self) -> None:
        if self.version not in VERSIONS[self.tee]:
            raise ValueError(f"there are no {self.tee.value} quotes of version {self.version}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What the machine lends its quoting enclaves: PCK, the signer that they have, and how it is named in quotes."""

    pck: Holder
    hardware: Hardware
    qe_signer: bytes  # 32 bytes
    certification_data: bytes


class QuotingEnclave:
    """Signs reports with an attestation key of its own. Threads may share it."""

    def __init__(self, credentials: Credentials, form: QuoteFormat, *, entropy: Callable[[int], bytes]) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._hardware = credentials.hardware
        self._form = form
        self._header = _header(credentials.hardware, form)
        self._certified = self._certify(credentials, entropy(QE_AUTH_BYTES))

    def quote(self, identity: Identity, report_data: bytes) -> bytes:
        """Return a quote over `identity` and the 64 bytes of `report_data`; about 5 kB."""
        if len(report_data) != REPORT_DATA_BYTES:
            raise ValueError(f"report data has {REPORT_DATA_BYTES} bytes, not {len(report_data)}")
        return self.sign(identity.report(self._hardware, report_data))

    def sign(self, report: SgxReport | TdReport) -> bytes:
        """Return a quote over any report, as an attacker who owns the machine could have made it."""
        signed = self._header + self._body(report)
        signature = raw_signature(self._key, signed) + self._certified
        return signed + struct.pack("<I", len(signature)) + signature

    def _body(self, report: SgxReport | TdReport) -> bytes:
        """Return the report, in version 5 behind its type and size."""
        body = report.to_bytes()
        kind = _body_type(report)
        if (kind is BodyType.SGX) != (self._form.tee is Tee.SGX):
            raise ValueError(f"a quoting enclave for {self._form.tee.value} does not sign reports of type {kind.name}")
        if self._form.version == 5:
            return struct.pack("<HI", kind, len(body)) + body
        if kind is BodyType.TD_1_5:
            raise ValueError("quotes of version 4 carry TD reports of version 1.0")
        return body

    def _certify(self, credentials: Credentials, auth: bytes) -> bytes:
        """Return the signature data behind the signature: attestation key, and who vouches for it."""
        point = raw_point(self._key.public_key())
        tee = self._form.tee
        report = replace(
            blank_report(self._hardware, Attributes.INIT | Attributes.MODE64BIT | Attributes.PROVISION_KEY),
            mr_enclave=hashlib.sha256(_QE_CODE[tee]).digest(),
            mr_signer=credentials.qe_signer,
            isv_prod_id=QE_PRODUCTS[tee],
            isv_svn=self._hardware.qe_svn,
            report_data=hashlib.sha256(point + auth).digest() + bytes(32),
        ).to_bytes()
        vouched = report + raw_signature(credentials.pck.key, report) + struct.pack("<H", len(auth)) + auth
        vouched += _data(self._form.certification, credentials.certification_data)
        return point + (vouched if self._form.version == 3 else _data(QE_REPORT_CERTIFICATION, vouched))


def _body_type(report: SgxReport | TdReport) -> BodyType:
    if isinstance(report, SgxReport):
        return BodyType.SGX
    return BodyType.TD_1_0 if report.tee_tcb_svn2 is None else BodyType.TD_1_5


def _header(hardware: Hardware, form: QuoteFormat) -> bytes:
    """Return the 48 bytes before the body: version, key and TEE type, SVNs, vendor, QE id padded to 20 bytes."""
    numbers = struct.pack(
        "<HHIHH", form.version, ECDSA_P256, TEE_TYPES[form.tee], hardware.qe_svn, hardware.pce_svn
    )  # fmt: skip
    return numbers + QE_VENDOR_ID + hardware.qe_id + bytes(4)


def _data(kind: int, content: bytes) -> bytes:
    return struct.pack("<HI", kind, len(content)) + content
