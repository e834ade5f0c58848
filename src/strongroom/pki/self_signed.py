"""Take a self-signed X.509 certificate apart as RA-TLS peers make it, and check its signature. Pure.

A reader of our own, since `cryptography` is at once too strict and too lenient here: it refuses the NULL that Mbed TLS
before 3.5 writes as the parameter of ECDSA with SHA-2 (Gramine 1.4 and 1.5), and about other faults it only warns,
which would need the warning filters: those belong to the whole process, and the broker judges in several threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from strongroom.errors import StrongroomError
from strongroom.wire import der
from strongroom.wire.der import DerReader

MAX_SERIAL_BYTES: Final = 20  # RFC 5280 section 4.1.2.2
VERSION_3: Final = 2
_ECDSA: Final = {
    "1.2.840.10045.4.3.2": ec.ECDSA(hashes.SHA256()),
    "1.2.840.10045.4.3.3": ec.ECDSA(hashes.SHA384()),
    "1.2.840.10045.4.3.4": ec.ECDSA(hashes.SHA512()),
}
_RSA: Final = {
    "1.2.840.113549.1.1.11": hashes.SHA256(),
    "1.2.840.113549.1.1.12": hashes.SHA384(),
    "1.2.840.113549.1.1.13": hashes.SHA512(),
}
_NULL: Final = b"\x05\x00"


def _spelled(kind: str, parameters: bytes) -> bytes:
    oid = der.oid_of(kind)
    content = bytes([der.OID, len(oid)]) + oid + parameters
    return bytes([der.SEQUENCE, len(content)]) + content


# What is accepted, as it stands in certificates.
_SPELLED: Final = {_spelled(kind, rest): kind for kind in (*_ECDSA, *_RSA) for rest in (b"", _NULL)}

Fault = Callable[[str], StrongroomError]
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfSigned:
    """A certificate of version 3, taken apart; nothing in it is believed yet."""

    signed: bytes  # the TBSCertificate as it was signed
    algorithm: str  # of the signature, dotted
    signature: bytes
    issuer: bytes  # names are kept as encoded
    subject: bytes
    not_before: datetime
    not_after: datetime
    spki: bytes  # SubjectPublicKeyInfo, DER
    extensions: bytes  # the content of the list; empty where there is none

    def is_signed_with(self, key: PublicKey) -> bool:
        """Return whether the signature holds under `key`: ECDSA or RSA PKCS #1 v1.5 with SHA-256, -384 or -512."""
        try:
            if self.algorithm in _ECDSA and isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(self.signature, self.signed, _ECDSA[self.algorithm])
                return True
            if self.algorithm in _RSA and isinstance(key, rsa.RSAPublicKey):
                key.verify(self.signature, self.signed, padding.PKCS1v15(), _RSA[self.algorithm])
                return True
        except InvalidSignature:
            pass
        return False

    @property
    def has_outdated_hash(self) -> bool:
        """Whether the signature is of a kind that is not accepted, whatever the key."""
        return self.algorithm not in _ECDSA and self.algorithm not in _RSA


def parse(data: bytes, *, error: Fault) -> SelfSigned:
    """Return the certificate that `data` consists of; raise `error` unless it is strict DER of version 3."""
    outer = der.read_whole(data, der.SEQUENCE, what="the certificate", error=error)
    signed = outer.encoded(der.SEQUENCE, "signed part")
    algorithm = outer.encoded(der.SEQUENCE, "signature algorithm")
    signature = outer.bits("signature")
    outer.end()
    tbs = der.read_whole(signed, der.SEQUENCE, what="the certificate", error=error)
    if tbs.enter(der.context(0), "version").integer("version") != VERSION_3:
        raise tbs.fault("it is not of version 3")
    if not 0 < tbs.integer("serial number") < 1 << 8 * MAX_SERIAL_BYTES:
        raise tbs.fault(f"the serial number is not a positive number of at most {MAX_SERIAL_BYTES} bytes")
    if tbs.encoded(der.SEQUENCE, "inner signature algorithm") != algorithm:
        raise tbs.fault("it names two signature algorithms")
    issuer = tbs.encoded(der.SEQUENCE, "issuer")
    validity = tbs.open(der.SEQUENCE, "validity")
    not_before, not_after = tbs.time("not before"), tbs.time("not after")
    tbs.close(validity)
    subject = tbs.encoded(der.SEQUENCE, "subject")
    spki = tbs.encoded(der.SEQUENCE, "public key")
    extensions = b"" if tbs.at_end else _extension_list(tbs)
    tbs.end()
    return SelfSigned(
        signed=signed, algorithm=_algorithm(algorithm, error=error), signature=signature, issuer=issuer,
        subject=subject, not_before=not_before, not_after=not_after, spki=spki, extensions=extensions,
    )  # fmt: skip


def extensions_of(content: bytes, *, error: Fault) -> dict[bytes, bytes]:
    """Return the value of every extension by its identifier (content, see `der.oid_of`); raise `error` for a second."""
    found: dict[bytes, bytes] = {}
    reader = DerReader(content, what="the certificate's extensions", error=error)
    while not reader.at_end:
        kind, _, value = reader.extension()
        if kind in found:
            raise reader.fault(f"{der.dotted(kind)[:64]} is there twice")
        found[kind] = value
    return found


def _extension_list(tbs: DerReader) -> bytes:
    wrapped = tbs.open(der.context(3), "extensions")
    content = tbs.content(der.SEQUENCE, "extensions")
    tbs.close(wrapped)
    return content


def _algorithm(encoded: bytes, *, error: Fault) -> str:
    """Return a signature algorithm; parameters other than NULL or none belong to no algorithm accepted here."""
    if encoded in _SPELLED:
        return _SPELLED[encoded]
    reader = der.read_whole(encoded, der.SEQUENCE, what="the certificate", error=error)
    kind = reader.oid("signature algorithm")
    parameters = b"" if reader.at_end else reader.any("signature parameters").encoded
    reader.end()
    return kind if parameters in (b"", _NULL) else ""
