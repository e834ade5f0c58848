"""Read a quote: structure only, no trust (specification section 2).

This release reads SGX quotes of version 3. Versions 4 and 5 and TDX have their own refusals; `Tee` and `Body` are
where they will join.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, TypeAlias

from strongroom.attestation.codes import EvidenceCode, EvidenceRefused, refusal, require
from strongroom.attestation.report import REPORT_BYTES, SgxReport
from strongroom.attestation.td_report import TdReport
from strongroom.wire import Reader

MAX_QUOTE_BYTES: Final = 64 * 1024  # a v3 quote with its PCK chain is about 4.6 kB
MAX_PADDING_BYTES: Final = 8 * 1024  # 3065 zero bytes were seen behind a genuine quote
HEADER_BYTES: Final = 48
QE_VENDOR_ID: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
ECDSA_P256: Final = 2
SCOPE: Final = "this release verifies SGX quotes of version 3"


class Tee(StrEnum):
    """The kinds of TEE that reference data speak of; quotes of SGX alone are read so far."""

    SGX = "SGX"
    TDX = "TDX"


class BodyType(IntEnum):
    """What the body of a quote is: the numbers of version 5, used for all versions."""

    SGX = 1
    TD_1_0 = 2
    TD_1_5 = 3


Body: TypeAlias = SgxReport | TdReport


class CertificationType(IntEnum):
    """How the signature data name the platform (specification section 2.3)."""

    PLAIN_PPID = 1
    RSA_2048_PPID = 2
    RSA_3072_PPID = 3
    PCK_LEAF = 4
    PCK_CHAIN = 5


_PPID_BYTES: Final = {
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A quote, taken apart. Holding one says that its structure is sound, and nothing about trust."""

    version: int
    tee: Tee
    body_type: BodyType
    qe_svn: int
    pce_svn: int
    user_data: bytes  # 20 bytes; the first 16 are the QE ID
    body: Body
    signed: bytes  # header and body, as the attestation key signed them
    signature: bytes  # 64 bytes r‖s
    attestation_key: bytes  # 64 bytes x‖y
    qe_report: SgxReport
    qe_report_bytes: bytes
    qe_report_signature: bytes  # 64 bytes r‖s
    qe_auth_data: bytes
    certification_type: CertificationType
    certification_data: bytes
    trailing_len: int  # zero bytes behind the declared end

    def platform_ids(self) -> PlatformIds:
        """Return certification data of types 1 to 3, taken apart; refuse other types and other sizes."""
        size = _PPID_BYTES.get(self.certification_type)
        if size is None:
            raise EvidenceRefused(
                f"certification data of type {self.certification_type.value} hold no platform ids",
                reason=EvidenceCode.CERT_TYPE_UNSUPPORTED,
            )
        reader = Reader(self.certification_data, what="certification data", error=refusal(EvidenceCode.QUOTE_TRUNCATED))
        ids = PlatformIds(
            ppid=reader.take(size, "PPID"),
            encrypted=self.certification_type is not CertificationType.PLAIN_PPID,
            cpu_svn=reader.take(16, "CPUSVN"),
            pce_svn=reader.u16("PCESVN"),
            pce_id=reader.take(2, "PCEID"),
        )
        _expect_end(reader)
        return ids

    def to_json_object(self) -> dict[str, object]:
        """Return what the quote says of itself, unverified; names as in the vectors."""
        return {
            "quote_version": self.version,
            "tee": self.tee.value,
            "body_type": self.body_type.value,
            "qe_svn": self.qe_svn,
            "pce_svn": self.pce_svn,
            "user_data": self.user_data.hex(),
            "cert_type": self.certification_type.value,
            "qe_auth_data_len": len(self.qe_auth_data),
            "trailing_len": self.trailing_len,
            "body": body_object(self.body, self.version),
            "qe_report": self.qe_report.to_json_object(),
        }


def body_object(body: Body, quote_version: int) -> dict[str, object]:
    """Return a body's fields with the two that readers look for first: the quote's version and the debug bit."""
    return {**body.to_json_object(), "quote_version": quote_version, "debug": body.debug}


def parse_quote(data: bytes) -> Quote:
    """Take a quote apart; raise EvidenceRefused with the format code of the first thing that is wrong."""
    require(len(data) <= MAX_QUOTE_BYTES, EvidenceCode.TOO_LARGE,
            f"the evidence has {len(data)} bytes, at most {MAX_QUOTE_BYTES} are read")  # fmt: skip
    reader = Reader(data, what="quote", error=refusal(EvidenceCode.QUOTE_TRUNCATED))
    qe_svn, pce_svn, user_data = _read_header(reader)
    body = reader.take(REPORT_BYTES, "SGX report")
    auth = Reader(
        reader.take(reader.u32("signature data length"), "signature data"),
        what="signature data",
        error=refusal(EvidenceCode.QUOTE_TRUNCATED),
    )
    signature = auth.take(64, "signature")
    attestation_key = auth.take(64, "attestation key")
    qe_report = auth.take(REPORT_BYTES, "QE report")
    qe_report_signature = auth.take(64, "QE report signature")
    qe_auth_data = auth.take(auth.u16("QE authentication data length"), "QE authentication data")
    certification_type = auth.u16("certification data type")
    certification_data = auth.take(auth.u32("certification data length"), "certification data")
    _expect_end(auth)
    return Quote(
        version=3,
        tee=Tee.SGX,
        body_type=BodyType.SGX,
        qe_svn=qe_svn,
        pce_svn=pce_svn,
        user_data=user_data,
        body=SgxReport.parse(body),
        signed=bytes(data[: HEADER_BYTES + REPORT_BYTES]),
        signature=signature,
        attestation_key=attestation_key,
        qe_report=SgxReport.parse(qe_report),
        qe_report_bytes=qe_report,
        qe_report_signature=qe_report_signature,
        qe_auth_data=qe_auth_data,
        certification_type=_certification_type(certification_type),
        certification_data=certification_data,
        trailing_len=_padding(reader.rest()),
    )


def _read_header(reader: Reader) -> tuple[int, int, bytes]:
    """Check the 48 header bytes (section 2.1) and return QE SVN, PCE SVN and user data."""
    version, key_type, tee_type = reader.u16("version"), reader.u16("key type"), reader.u32("TEE type")
    _check_scope(version, tee_type)
    require(key_type == ECDSA_P256, EvidenceCode.UNSUPPORTED_AK_TYPE,
            f"the attestation key is of type {key_type}, wanted {ECDSA_P256} (ECDSA P-256)")  # fmt: skip
    qe_svn, pce_svn = reader.u16("QE SVN"), reader.u16("PCE SVN")
    vendor = reader.take(16, "QE vendor id")
    require(vendor == QE_VENDOR_ID, EvidenceCode.UNKNOWN_QE_VENDOR,
            f"the QE vendor id is {vendor.hex()}, wanted {QE_VENDOR_ID.hex()}")  # fmt: skip
    return qe_svn, pce_svn, reader.take(20, "user data")


def _check_scope(version: int, tee_type: int) -> None:
    """Refuse what this release does not verify, each kind under its own code."""
    require(version in {3, 4, 5}, EvidenceCode.UNSUPPORTED_QUOTE_VERSION,
            f"the quote has version {version}; {SCOPE}")  # fmt: skip
    if version == 3:
        require(tee_type == 0, EvidenceCode.V3_NOT_SGX, f"a version 3 quote claims TEE type {tee_type:#x}, wanted 0")
        return
    require(tee_type == 0, EvidenceCode.UNSUPPORTED_TEE, f"the quote has TEE type {tee_type:#x}; {SCOPE}")
    raise EvidenceRefused(f"the quote has version {version}; {SCOPE}", reason=EvidenceCode.UNSUPPORTED_QUOTE_VERSION)


def _certification_type(number: int) -> CertificationType:
    try:
        return CertificationType(number)
    except ValueError:
        raise EvidenceRefused(
            f"the certification data are of type {number}, wanted 1 to 5", reason=EvidenceCode.CERT_TYPE
        ) from None


def _expect_end(reader: Reader) -> None:
    require(reader.remaining == 0, EvidenceCode.AUTH_TRAILING,
            f"{reader.what}: {reader.remaining} bytes are left over")  # fmt: skip


def _padding(rest: bytes) -> int:
    """Return the length of the padding behind the quote: zeros, as providers add them, and not too many."""
    require(not any(rest), EvidenceCode.TRAILING_DATA, f"{len(rest)} bytes that are not all zero follow the quote")
    require(len(rest) <= MAX_PADDING_BYTES, EvidenceCode.TRAILING_DATA,
            f"{len(rest)} zero bytes follow the quote, at most {MAX_PADDING_BYTES} are padding")  # fmt: skip
    return len(rest)
