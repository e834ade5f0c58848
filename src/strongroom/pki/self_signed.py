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
    "1.2.840.10045.4.3.2": hashes.SHA256(),
    "1.2.840.10045.4.3.3": hashes.SHA384(),
    "1.2.840.10045.4.3.4": hashes.SHA512(),
}
_RSA: Final = {
    "1.2.840.113549.1.1.11": hashes.SHA256(),
    "1.2.840.113549.1.1.12": hashes.SHA384(),
    "1.2.840.113549.1.1.13": hashes.SHA512(),
}
_NULL: Final = b"\x05\x00"

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
            if isinstance(key, rsa.RSAPublicKey) and self.algorithm in _RSA:
                key.verify(self.signature, self.signed, padding.PKCS1v15(), _RSA[self.algorithm])
                return True
            if isinstance(key, ec.EllipticCurvePublicKey) and self.algorithm in _ECDSA:
                key.verify(self.signature, self.signed, ec.ECDSA(_ECDSA[self.algorithm]))
                return True
        except InvalidSignature:
            pass
        return False

    @property
    def has_outdated_hash(self) -> bool:
        """Whether the signature is of a kind that is not accepted, whatever the key."""
        return self.algorithm not in _RSA.keys() | _ECDSA.keys()


def parse(data: bytes, *, error: Fault) -> SelfSigned:
    """Return the certificate that `data` consists of; raise `error` unless it is strict DER of version 3."""
    outer = der.read_whole(data, der.SEQUENCE, what="the certificate", error=error)
    signed = outer.read(der.SEQUENCE, "signed part")
    algorithm = outer.read(der.SEQUENCE, "signature algorithm")
    signature = outer.bits("signature")
    outer.end()
    tbs = outer.inside(signed)
    if tbs.enter(der.context(0), "version").integer("version") != VERSION_3:
        raise tbs.fault("it is not of version 3")
    if not 0 < tbs.integer("serial number") < 1 << 8 * MAX_SERIAL_BYTES:
        raise tbs.fault(f"the serial number is not a positive number of at most {MAX_SERIAL_BYTES} bytes")
    if tbs.read(der.SEQUENCE, "inner signature algorithm").encoded != algorithm.encoded:
        raise tbs.fault("it names two signature algorithms")
    issuer = tbs.read(der.SEQUENCE, "issuer").encoded
    validity = tbs.enter(der.SEQUENCE, "validity")
    not_before, not_after = validity.time("not before"), validity.time("not after")
    validity.end()
    subject = tbs.read(der.SEQUENCE, "subject").encoded
    spki = tbs.read(der.SEQUENCE, "public key").encoded
    extensions = b"" if tbs.at_end else _extension_list(tbs)
    tbs.end()
    return SelfSigned(
        signed=signed.encoded, algorithm=_algorithm(tbs.inside(algorithm)), signature=signature, issuer=issuer,
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
    wrapped = tbs.enter(der.context(3), "extensions")
    content = wrapped.read(der.SEQUENCE, "extensions").content
    wrapped.end()
    return content


def _algorithm(reader: DerReader) -> str:
    """Return a signature algorithm; parameters other than NULL or none belong to no algorithm accepted here."""
    kind = reader.oid("signature algorithm")
    parameters = b"" if reader.at_end else reader.any("signature parameters").encoded
    reader.end()
    return kind if parameters in (b"", _NULL) else ""
