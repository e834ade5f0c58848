"""Read a quote of version 3, 4 or 5, of SGX or TDX: structure only, no trust (specification section 2).

Every declared length is compared with the bytes that are left before anything is taken, and consumed exactly.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple, TypeAlias

from strongroom.attestation.certification import (
    CertificationType,
    PckLookup,
    PlatformIds,
    certification_type,
    read_platform_ids,
)
from strongroom.attestation.codes import EvidenceCode as C
from strongroom.attestation.codes import EvidenceRefused, refusal
from strongroom.attestation.report import REPORT_BYTES, SgxReport
from strongroom.attestation.td_report import TD_1_0_BYTES, TD_1_5_BYTES, TdReport
from strongroom.wire import Reader

MAX_QUOTE_BYTES: Final = 64 * 1024  # a quote with its PCK chain is about 5 kB
MAX_PADDING_BYTES: Final = 8 * 1024  # 3065 zero bytes were seen behind a genuine quote
HEADER_BYTES: Final = 48
QE_VENDOR_ID: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
QE_ID_BYTES: Final = 16
ECDSA_P256: Final = 2
QE_REPORT_CERTIFICATION: Final = 6  # the one outer type of versions 4 and 5


class Tee(StrEnum):
    """The kinds of TEE that quotes and reference data speak of."""

    SGX = "SGX"
    TDX = "TDX"


class BodyType(IntEnum):
    """What the body of a quote is: the numbers of version 5, used for all versions."""

    SGX = 1
    TD_1_0 = 2
    TD_1_5 = 3


Body: TypeAlias = SgxReport | TdReport

_VERSIONS: Final = frozenset({3, 4, 5})
_LIKELY_VERSIONS: Final = 255  # what counts further is no quote: a text, or another file
_NO_QUOTE: Final = "Check that this is a quote, raw as the platform wrote it: not JSON, hex, base64 or another file."
_HEADER: Final = struct.Struct("<HHIHH16s20s")  # version, key type, TEE type, QE SVN, PCE SVN, vendor, user data
_TEES: Final = {0x00: Tee.SGX, 0x81: Tee.TDX}
_BODY_BYTES: Final = {BodyType.SGX: REPORT_BYTES, BodyType.TD_1_0: TD_1_0_BYTES, BodyType.TD_1_5: TD_1_5_BYTES}
_BODY_TYPES: Final = {body_type.value: body_type for body_type in BodyType}
_TRUNCATED: Final = refusal(C.QUOTE_TRUNCATED)
_BEFORE_VERSION_5: Final = {Tee.SGX: BodyType.SGX, Tee.TDX: BodyType.TD_1_0}


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
    signed: bytes  # header and body (in version 5 with the 6 bytes between), as the attestation key signed them
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
        return read_platform_ids(self.certification_type, self.certification_data)

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


class _Header(NamedTuple):
    version: int
    tee: Tee
    qe_svn: int
    pce_svn: int
    user_data: bytes


class _Authentication(NamedTuple):
    """The signature data: who vouches for header and body, and how."""

    signature: bytes
    attestation_key: bytes
    qe_report_bytes: bytes
    qe_report_signature: bytes
    qe_auth_data: bytes
    certification_type: CertificationType
    certification_data: bytes


def body_object(body: Body, quote_version: int) -> dict[str, object]:
    """Return a body's fields with the two that readers look for first: the quote's version and the debug bit."""
    return {**body.to_json_object(), "quote_version": quote_version, "debug": body.debug}


def pck_lookup_of(quote: Quote) -> PckLookup | None:
    """Return what to ask a provisioning service for, where a quote names its platform by an encrypted PPID.

    None for the other types: 4 and 5 carry a certificate, and nothing can be looked up by the plain PPID of type 1.
    """
    if quote.certification_type not in {CertificationType.RSA_2048_PPID, CertificationType.RSA_3072_PPID}:
        return None
    ids = quote.platform_ids()
    return PckLookup(
        encrypted_ppid=ids.ppid,
        cpu_svn=ids.cpu_svn,
        pce_svn=ids.pce_svn,
        pce_id=ids.pce_id,
        qe_id=quote.user_data[:QE_ID_BYTES],
    )


def parse_quote(data: bytes) -> Quote:
    """Take a quote apart; raise EvidenceRefused with the format code of the first thing that is wrong."""
    if len(data) > MAX_QUOTE_BYTES:
        raise _refused(C.TOO_LARGE, f"the evidence has {len(data)} bytes, at most {MAX_QUOTE_BYTES} are read")
    reader = Reader(data, what="quote", error=_TRUNCATED)
    header = _read_header(reader)
    body_type = _BEFORE_VERSION_5[header.tee] if header.version < 5 else _read_body_type(reader, header.tee)
    body = reader.take(_BODY_BYTES[body_type], "body")
    signed = bytes(data[: reader.position])
    signature_data = reader.take(reader.u32("signature data length"), "signature data")
    auth = Reader(signature_data, what="signature data", error=_TRUNCATED)
    found = _read_authentication(auth, nested=header.version > 3)
    return Quote(
        version=header.version,
        tee=header.tee,
        body_type=body_type,
        qe_svn=header.qe_svn,
        pce_svn=header.pce_svn,
        user_data=header.user_data,
        body=SgxReport.parse(body) if body_type is BodyType.SGX else TdReport.parse(body),
        signed=signed,
        signature=found.signature,
        attestation_key=found.attestation_key,
        qe_report=SgxReport.parse(found.qe_report_bytes),
        qe_report_bytes=found.qe_report_bytes,
        qe_report_signature=found.qe_report_signature,
        qe_auth_data=found.qe_auth_data,
        certification_type=found.certification_type,
        certification_data=found.certification_data,
        trailing_len=_padding(reader.rest()),
    )


def _read_header(reader: Reader) -> _Header:
    """Check and return the 48 header bytes (section 2.1)."""
    version, key_type, tee_type, qe_svn, pce_svn, vendor, user_data = _HEADER.unpack(
        reader.view(HEADER_BYTES, "header")
    )
    if version not in _VERSIONS:
        fix = _NO_QUOTE if version > _LIKELY_VERSIONS else None
        sentence = f"the quote has version {version}, wanted 3, 4 or 5"
        raise EvidenceRefused(sentence, reason=C.UNSUPPORTED_QUOTE_VERSION, fix=fix)
    if version == 3 and tee_type != 0:
        raise _refused(C.V3_NOT_SGX, f"a version 3 quote claims TEE type {tee_type:#x}, wanted 0")
    tee = _TEES.get(tee_type)
    if tee is None:
        raise _refused(C.UNSUPPORTED_TEE, f"the quote has TEE type {tee_type:#x}, wanted 0 (SGX) or 0x81 (TDX)")
    if key_type != ECDSA_P256:
        sentence = f"the attestation key is of type {key_type}, wanted {ECDSA_P256} (ECDSA P-256)"
        raise _refused(C.UNSUPPORTED_AK_TYPE, sentence)
    if vendor != QE_VENDOR_ID:
        sentence = f"the QE vendor id is {vendor.hex()}, wanted {QE_VENDOR_ID.hex()}"
        raise _refused(C.UNKNOWN_QE_VENDOR, sentence)
    return _Header(version, tee, qe_svn, pce_svn, user_data)


def _read_body_type(reader: Reader, tee: Tee) -> BodyType:
    """Check and return what version 5 says of its body: a type that fits the header, a size that fits the type."""
    number, size = reader.u16("body type"), reader.u32("body size")
    body_type = _BODY_TYPES.get(number)
    if body_type is None:
        sentence = f"the body is of type {number}, wanted 1 (SGX), 2 (TD 1.0) or 3 (TD 1.5)"
        raise _refused(C.UNSUPPORTED_BODY_TYPE, sentence)
    if (body_type is BodyType.SGX) != (tee is Tee.SGX):
        sentence = f"the header says {tee.value}, the body is of type {number} ({body_type.name})"
        raise _refused(C.BODY_TEE_MISMATCH, sentence)
    if size != _BODY_BYTES[body_type]:
        sentence = f"a body of type {number} declares {size} bytes, wanted {_BODY_BYTES[body_type]}"
        raise _refused(C.BODY_SIZE, sentence)
    return body_type


def _read_authentication(auth: Reader, *, nested: bool) -> _Authentication:
    """Take the signature data apart; in versions 4 and 5 all but two fields are nested in certification data."""
    signature, attestation_key = auth.take(64, "signature"), auth.take(64, "attestation key")
    inner = _read_nested(auth) if nested else auth
    qe_report = inner.take(REPORT_BYTES, "QE report")
    qe_report_signature = inner.take(64, "QE report signature")
    qe_auth_data = inner.take(inner.u16("QE authentication data length"), "QE authentication data")
    kind = inner.u16("certification data type")
    data = inner.take(inner.u32("certification data length"), "certification data")
    _expect_end(inner)
    return _Authentication(
        signature=signature,
        attestation_key=attestation_key,
        qe_report_bytes=qe_report,
        qe_report_signature=qe_report_signature,
        qe_auth_data=qe_auth_data,
        certification_type=certification_type(kind),
        certification_data=data,
    )


def _read_nested(auth: Reader) -> Reader:
    """Return a reader over the certification data of versions 4 and 5, which must fill the signature data."""
    kind = auth.u16("outer certification data type")
    if kind != QE_REPORT_CERTIFICATION:
        sentence = f"the outer certification data are of type {kind}, wanted {QE_REPORT_CERTIFICATION}"
        raise _refused(C.V4_CERT_TYPE, sentence)
    nested = auth.take(auth.u32("outer certification data length"), "outer certification data")
    _expect_end(auth)
    return Reader(nested, what="outer certification data", error=_TRUNCATED)


def _expect_end(reader: Reader) -> None:
    if reader.remaining:
        raise _refused(C.AUTH_TRAILING, f"{reader.what}: {reader.remaining} bytes are left over")


def _padding(rest: bytes) -> int:
    """Return the length of the padding behind the quote: zeros, as providers add them, and not too many."""
    if any(rest):
        raise _refused(C.TRAILING_DATA, f"{len(rest)} bytes that are not all zero follow the quote")
    if len(rest) > MAX_PADDING_BYTES:
        raise _refused(
            C.TRAILING_DATA, f"{len(rest)} zero bytes follow the quote, at most {MAX_PADDING_BYTES} are padding"
        )
    return len(rest)


def _refused(code: C, sentence: str) -> EvidenceRefused:
    return EvidenceRefused(sentence, reason=code)
