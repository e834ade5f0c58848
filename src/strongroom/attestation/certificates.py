"""Read X.509 certificates of the one profile that attestation uses (specification section 3), and strict PEM chains.

Version 3, P-256, ECDSA with SHA-256: everything else is refused byte for byte, before any signature is looked at.
The parser is our own because the profile is narrow and each field has to be read once, at once and strictly; the
tests hold it against `cryptography`. Signatures and trust are `chain`'s business.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import IntFlag
from typing import Final

from strongroom.errors import StrongroomError
from strongroom.wire import Malformed, der
from strongroom.wire.der import DerReader

MAX_CHAIN_CERTIFICATES: Final = 16
SGX_EXTENSION: Final = "1.2.840.113741.1.13.1"
SIMULATED_EXTENSION: Final = "1.3.6.1.4.1.32473.20.1"  # specification 14.2: marks every certificate of a simulator
BASIC_CONSTRAINTS: Final = "2.5.29.19"
KEY_USAGE: Final = "2.5.29.15"
_COMMON_NAME: Final = der.oid_of("2.5.4.3")
_SGX_EXTENSION: Final = der.oid_of(SGX_EXTENSION)
_SIMULATED_EXTENSION: Final = der.oid_of(SIMULATED_EXTENSION)
_BASIC_CONSTRAINTS: Final = der.oid_of(BASIC_CONSTRAINTS)
_KEY_USAGE: Final = der.oid_of(KEY_USAGE)
_VERSION_3: Final = bytes.fromhex("a003020102")
# Two UTCTimes. Hours to 23: newer releases of Python read 24:00:00 as the next day.
_UTC_TIME: Final = rb"\x17\x0d([0-9]{6}(?:[01][0-9]|2[0-3])[0-9]{4})Z"
_USUAL_VALIDITY: Final = re.compile(rb"\x30\x1e" + _UTC_TIME + _UTC_TIME)
ECDSA_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
_P256_KEY: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")  # SPKI up to the point
_TEXT_TAGS: Final = frozenset({der.UTF8_STRING, der.PRINTABLE_STRING})
_MAX_SERIAL_OCTETS: Final = 20

_BEGIN: Final = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n")
_END: Final = b"-----END CERTIFICATE-----"
_SPACE: Final = re.compile(rb"[ \t\r\n]*")

Fault = Callable[[str], StrongroomError]


class KeyUsage(IntFlag):
    """Bits of the KeyUsage extension, first octet (RFC 5280 section 4.2.1.3)."""

    DIGITAL_SIGNATURE = 0x80
    NON_REPUDIATION = 0x40
    KEY_CERT_SIGN = 0x04
    CRL_SIGN = 0x02


NO_USAGE: Final = KeyUsage(0)
# The values that the certificates of section 3 have, as encoded; others are read.
_USUAL_CONSTRAINTS: Final = {
    bytes.fromhex("3000"): (False, None),
    bytes.fromhex("30060101ff020100"): (True, 0),
    bytes.fromhex("30060101ff020101"): (True, 1),
}
_USUAL_USAGES: Final = {
    bytes.fromhex("03020106"): KeyUsage.KEY_CERT_SIGN | KeyUsage.CRL_SIGN,
    bytes.fromhex("030206c0"): KeyUsage.DIGITAL_SIGNATURE | KeyUsage.NON_REPUDIATION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate of the profile, taken apart; names are kept as encoded, since they are compared as bytes."""

    encoded: bytes
    signed: bytes  # the TBSCertificate
    signature: bytes  # DER
    serial: int
    issuer: bytes
    subject: bytes
    common_name: str  # empty where the subject has none, or more than one
    since: datetime
    until: datetime
    point: bytes  # 65 bytes, not yet known to lie on the curve
    is_ca: bool
    path_length: int | None
    key_usage: KeyUsage
    sgx_extensions: tuple[bytes, ...]  # as many as there are: one is the right number
    simulated: bool
    unknown_critical: tuple[str, ...]  # identifiers that nobody here understands


@dataclass(slots=True)
class _Extensions:
    """What the extensions of one certificate say, while they are read."""

    is_ca: bool = False
    path_length: int | None = None
    key_usage: KeyUsage = NO_USAGE
    sgx: tuple[bytes, ...] = ()
    simulated: bool = False
    unknown_critical: tuple[str, ...] = ()


def parse_certificate(data: bytes, *, what: str = "certificate", error: Fault = Malformed) -> Certificate:
    """Return the certificate that `data` consists of; raise `error` for anything outside the profile."""
    data = bytes(data)
    signed, signature = open_signed(data, what=what, error=error)
    tbs = DerReader(signed, what=what, error=error)
    outer = tbs.open(der.SEQUENCE, "signed part")
    if not tbs.constant(_VERSION_3):
        raise tbs.fault("the certificate is not of version 3")
    serial = _serial(tbs)
    expect_algorithm(tbs)
    issuer = tbs.encoded(der.SEQUENCE, "issuer")
    since, until = _validity(tbs)
    subject = tbs.encoded(der.SEQUENCE, "subject")
    point = _point(tbs)
    found = _read_extensions(tbs)
    tbs.close(outer)
    return Certificate(
        encoded=data,
        signed=signed,
        signature=signature,
        serial=serial,
        issuer=issuer,
        subject=subject,
        common_name=_common_name(DerReader(subject, what=what, error=error)),
        since=since,
        until=until,
        point=point,
        is_ca=found.is_ca,
        path_length=found.path_length,
        key_usage=found.key_usage,
        sgx_extensions=found.sgx,
        simulated=found.simulated,
        unknown_critical=found.unknown_critical,
    )


def open_signed(data: bytes, *, what: str, error: Fault) -> tuple[bytes, bytes]:
    """Return the signed part and the signature (DER) of a certificate or a revocation list (RFC 5280)."""
    reader = DerReader(data, what=what, error=error)
    whole = reader.open(der.SEQUENCE, "outermost element")
    signed = reader.encoded(der.SEQUENCE, "signed part")
    expect_algorithm(reader)
    signature = reader.bits("signature")
    reader.close(whole)
    reader.end()
    return signed, signature


def parse_pem_chain(
    text: bytes, *, what: str, error: Fault, known: dict[bytes, Certificate] | None = None
) -> tuple[Certificate, ...]:
    """Return the certificates of a PEM text, leaf first; nothing but white space may stand around the blocks.

    `known` remembers certificates by their base64, for texts that repeat each other's.
    """
    known = {} if known is None else known
    position = _SPACE.match(text).end()  # type: ignore[union-attr]  # matches nothing, too
    chain: list[Certificate] = []
    while position < len(text):
        begin = _BEGIN.match(text, position)
        end = text.find(_END, begin.end()) if begin else -1
        if begin is None or end <= begin.end():
            raise error(f"{what} holds something other than PEM certificates at offset {position}")
        if len(chain) == MAX_CHAIN_CERTIFICATES:
            raise error(f"{what} holds more than {MAX_CHAIN_CERTIFICATES} certificates")
        block = text[begin.end() : end]
        certificate = known.get(block)
        if certificate is None:
            known[block] = certificate = parse_certificate(_base64(block, what, error), what=what, error=error)
        chain.append(certificate)
        position = _SPACE.match(text, end + len(_END)).end()  # type: ignore[union-attr]  # likewise
    if not chain:
        raise error(f"{what} holds no certificate")
    return tuple(chain)


def _base64(text: bytes, what: str, error: Fault) -> bytes:
    text = text.translate(None, b"\r\n")
    if len(text) % 4 or text.count(b"=") > 2:  # Python's decoder does not mind padding that nothing asked for
        raise error(f"{what} holds base64 that is not padded to a multiple of four")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as problem:
        raise error(f"{what} holds base64 that does not decode: {problem}") from None


def expect_algorithm(reader: DerReader) -> None:
    """Take the algorithm identifier of ECDSA with SHA-256; refuse any other."""
    if not reader.constant(ECDSA_SHA256):
        seen = reader.any("signature algorithm").encoded
        raise reader.fault(
            f"the signature algorithm is {seen[:32].hex()}, wanted {ECDSA_SHA256.hex()} (ECDSA with SHA-256)"
        )


def _serial(reader: DerReader) -> int:
    serial = reader.integer("serial number")
    if not 0 < serial < 1 << 8 * _MAX_SERIAL_OCTETS:
        raise reader.fault("the serial number is not a positive number of at most 20 bytes")
    return serial


def _validity(reader: DerReader) -> tuple[datetime, datetime]:
    usual = reader.matched(_USUAL_VALIDITY)
    if usual is not None:
        try:
            return der.utc_time(usual[1]), der.utc_time(usual[2])
        except ValueError:
            raise reader.fault("validity names a day or time that does not exist") from None
    outer = reader.open(der.SEQUENCE, "validity")
    since, until = reader.time("notBefore"), reader.time("notAfter")
    reader.close(outer)
    return since, until


def _point(reader: DerReader) -> bytes:
    """Return the uncompressed point of a P-256 SubjectPublicKeyInfo, which has one possible encoding."""
    encoded = reader.encoded(der.SEQUENCE, "public key")
    head, point = encoded[: len(_P256_KEY)], encoded[len(_P256_KEY) :]
    if head != _P256_KEY or point[:1] != b"\x04":
        raise reader.fault("the public key is not an uncompressed point on P-256")
    return point


def _common_name(name: DerReader) -> str:
    """Return the one common name of a subject; none or several give an empty one, which no role carries."""
    found = [(tag, value) for kind, tag, value in name.attributes("subject") if kind == _COMMON_NAME]
    if len(found) != 1 or found[0][0] not in _TEXT_TAGS:
        return ""
    return found[0][1].decode("utf-8", errors="replace")


def _read_extensions(tbs: DerReader) -> _Extensions:
    outermost = tbs.open(der.context(3), "extensions")
    outer = tbs.open(der.SEQUENCE, "list")
    found, seen = _Extensions(), set()
    while not tbs.at_end:
        kind, critical, value = tbs.extension()
        if kind == _SGX_EXTENSION:
            found.sgx = (*found.sgx, value)
            continue
        if kind in seen:
            raise tbs.fault(f"the extension {der.dotted(kind)[:64]} occurs twice")
        seen.add(kind)
        _read_extension(found, kind, value, tbs, critical=critical)
    tbs.close(outer)
    tbs.close(outermost)
    return found


def _read_extension(found: _Extensions, kind: bytes, value: bytes, tbs: DerReader, *, critical: bool) -> None:
    if kind == _BASIC_CONSTRAINTS:
        found.is_ca, found.path_length = _USUAL_CONSTRAINTS.get(value) or _basic_constraints(DerReader(value), tbs)
    elif kind == _KEY_USAGE:
        found.key_usage = _USUAL_USAGES.get(value) or _key_usage(DerReader(value), tbs)
    elif kind == _SIMULATED_EXTENSION:
        found.simulated = True
    elif critical:
        found.unknown_critical = (*found.unknown_critical, der.dotted(kind))


def _basic_constraints(value: DerReader, tbs: DerReader) -> tuple[bool, int | None]:
    try:
        inner = value.enter(der.SEQUENCE, "basic constraints")
        value.end()
        is_ca = inner.boolean("cA") if inner.peek() == der.BOOLEAN else False
        length = None if inner.at_end else inner.integer("path length")
        inner.end()
    except Malformed as problem:
        raise tbs.fault(problem.sentence) from None
    return is_ca, length


def _key_usage(value: DerReader, tbs: DerReader) -> KeyUsage:
    try:
        octets = value.bits("key usage")
        value.end()
    except Malformed as problem:
        raise tbs.fault(problem.sentence) from None
    return KeyUsage(octets[0] if octets else 0)
