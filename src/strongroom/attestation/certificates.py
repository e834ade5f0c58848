"""Read X.509 certificates of the one profile that attestation uses (specification section 3), and strict PEM chains.

Version 3, P-256, ECDSA with SHA-256: everything else is refused byte for byte, before any signature is looked at.
The parser is our own because the profile is narrow and each field has to be read once, at once and strictly; the
tests hold it against `cryptography`. Signatures and trust are `chain`'s business.
"""

from __future__ import annotations

import base64
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
_COMMON_NAME: Final = bytes.fromhex("550403")  # 2.5.4.3
ECDSA_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
_P256_KEY: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")  # SPKI up to the point
_TEXT_TAGS: Final = frozenset({der.UTF8_STRING, der.PRINTABLE_STRING})
_MAX_SERIAL_OCTETS: Final = 20

_BLOCK: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+?)\r?\n?-----END CERTIFICATE-----[ \t\r\n]*"
)

Fault = Callable[[str], StrongroomError]


class KeyUsage(IntFlag):
    """Bits of the KeyUsage extension, first octet (RFC 5280 section 4.2.1.3)."""

    DIGITAL_SIGNATURE = 0x80
    NON_REPUDIATION = 0x40
    KEY_CERT_SIGN = 0x04
    CRL_SIGN = 0x02


NO_USAGE: Final = KeyUsage(0)


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
    outer = der.read_whole(data, der.SEQUENCE, what=what, error=error)
    signed = outer.read(der.SEQUENCE, "signed part")
    _expect(outer, ECDSA_SHA256, "signature algorithm")
    signature = outer.bits("signature")
    outer.end()
    tbs = outer.inside(signed)
    if tbs.enter(der.context(0), "version").integer("version") != 2:
        raise tbs.fault("the certificate is not of version 3")
    serial = _serial(tbs)
    _expect(tbs, ECDSA_SHA256, "signature algorithm")
    issuer = tbs.read(der.SEQUENCE, "issuer").encoded
    since, until = _validity(tbs.enter(der.SEQUENCE, "validity"))
    subject = tbs.read(der.SEQUENCE, "subject")
    point = _point(tbs)
    found = _read_extensions(tbs.enter(der.context(3), "extensions"))
    tbs.end()
    return Certificate(
        encoded=bytes(data),
        signed=signed.encoded,
        signature=signature,
        serial=serial,
        issuer=issuer,
        subject=subject.encoded,
        common_name=_common_name(tbs.inside(subject)),
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


def parse_pem_chain(
    text: bytes, *, what: str, error: Fault, known: dict[bytes, Certificate] | None = None
) -> tuple[Certificate, ...]:
    """Return the certificates of a PEM text, leaf first; nothing but white space may stand between the blocks.

    `known` remembers certificates by their bytes, for texts that repeat each other's.
    """
    known = {} if known is None else known
    position = 0
    chain: list[Certificate] = []
    while position < len(text):
        block = _BLOCK.match(text, position)
        if block is None:
            raise error(f"{what} holds something other than PEM certificates at offset {position}")
        if len(chain) == MAX_CHAIN_CERTIFICATES:
            raise error(f"{what} holds more than {MAX_CHAIN_CERTIFICATES} certificates")
        encoded = _base64(block[1], what, error)
        if encoded not in known:
            known[encoded] = parse_certificate(encoded, what=what, error=error)
        chain.append(known[encoded])
        position = block.end()
    if not chain:
        raise error(f"{what} holds no certificate")
    return tuple(chain)


def _base64(text: bytes, what: str, error: Fault) -> bytes:
    try:
        return base64.b64decode(text.replace(b"\r", b"").replace(b"\n", b""), validate=True)
    except binascii.Error as problem:
        raise error(f"{what} holds base64 that does not decode: {problem}") from None


def _expect(reader: DerReader, encoded: bytes, field: str) -> None:
    seen = reader.any(field).encoded
    if seen != encoded:
        raise reader.fault(f"{field} is {seen[:32].hex()}, wanted {encoded.hex()} (ECDSA with SHA-256)")


def _serial(reader: DerReader) -> int:
    serial = reader.integer("serial number")
    if not 0 < serial < 1 << 8 * _MAX_SERIAL_OCTETS:
        raise reader.fault("the serial number is not a positive number of at most 20 bytes")
    return serial


def _validity(reader: DerReader) -> tuple[datetime, datetime]:
    since, until = reader.time("notBefore"), reader.time("notAfter")
    reader.end()
    return since, until


def _point(reader: DerReader) -> bytes:
    """Return the uncompressed point of a P-256 SubjectPublicKeyInfo, which has one possible encoding."""
    encoded = reader.read(der.SEQUENCE, "public key").encoded
    head, point = encoded[: len(_P256_KEY)], encoded[len(_P256_KEY) :]
    if head != _P256_KEY or point[:1] != b"\x04":
        raise reader.fault("the public key is not an uncompressed point on P-256")
    return point


def _common_name(name: DerReader) -> str:
    """Return the one common name of a subject; none or several give an empty one, which no role carries."""
    found = []
    for entry in name.each(der.SET, "name entry"):
        for attribute in entry.each(der.SEQUENCE, "name attribute"):
            kind, value = attribute.read(der.OID, "attribute type"), attribute.any("attribute value")
            attribute.end()
            if kind.content == _COMMON_NAME:
                text = value.content if value.tag in _TEXT_TAGS else b""
                found.append(text.decode("utf-8", errors="replace"))
    return found[0] if len(found) == 1 else ""


def _read_extensions(outer: DerReader) -> _Extensions:
    listing = outer.enter(der.SEQUENCE, "list")
    outer.end()
    found, seen = _Extensions(), set()
    for entry in listing.each(der.SEQUENCE, "extension"):
        kind = entry.oid("extension identifier")
        critical = entry.boolean("critical") if entry.peek() == der.BOOLEAN else False
        value = entry.octets("extension value")
        entry.end()
        if kind == SGX_EXTENSION:
            found.sgx = (*found.sgx, value)
            continue
        if kind in seen:
            raise entry.fault(f"the extension {kind[:64]} occurs twice")
        seen.add(kind)
        _read_extension(found, kind, value, entry, critical=critical)
    return found


def _read_extension(found: _Extensions, kind: str, value: bytes, entry: DerReader, *, critical: bool) -> None:
    if kind == BASIC_CONSTRAINTS:
        found.is_ca, found.path_length = _basic_constraints(DerReader(value), entry)
    elif kind == KEY_USAGE:
        found.key_usage = _key_usage(DerReader(value), entry)
    elif kind == SIMULATED_EXTENSION:
        found.simulated = True
    elif critical:
        found.unknown_critical = (*found.unknown_critical, kind)


def _basic_constraints(value: DerReader, entry: DerReader) -> tuple[bool, int | None]:
    try:
        inner = value.enter(der.SEQUENCE, "basic constraints")
        value.end()
        is_ca = inner.boolean("cA") if inner.peek() == der.BOOLEAN else False
        length = None if inner.at_end else inner.integer("path length")
        inner.end()
    except Malformed as problem:
        raise entry.fault(problem.sentence) from None
    return is_ca, length


def _key_usage(value: DerReader, entry: DerReader) -> KeyUsage:
    try:
        octets = value.bits("key usage")
        value.end()
    except Malformed as problem:
        raise entry.fault(problem.sentence) from None
    return KeyUsage(octets[0] if octets else 0)
