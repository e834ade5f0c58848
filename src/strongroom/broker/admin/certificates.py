"""What a client certificate says about a person. Pure.

A server's certificate, a CA's, or one without a usage identifies nobody (threat SV-15); who signed it is checked in the
TLS handshake, and that it is registered by who asks here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from strongroom.broker.admin.problems import NotAClientCertificate, NotAuthenticated
from strongroom.pki import keys, names
from strongroom.pki.authority import is_authority
from strongroom.pki.keys import BadCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A certificate that may be a client's; times in milliseconds since 1970."""

    fingerprint: str  # SHA-256 of its DER, hex
    not_before_ms: int
    not_after_ms: int

    def check_valid(self, now_ms: int) -> None:
        """Raise NotAClientCertificate unless the certificate is valid now."""
        if not self.not_before_ms <= now_ms < self.not_after_ms:
            raise NotAClientCertificate("the certificate is not valid at this time")

    def check_presentable(self, now_ms: int) -> None:
        """Raise NotAuthenticated unless the certificate is valid now."""
        if not self.not_before_ms <= now_ms < self.not_after_ms:
            raise NotAuthenticated(f"the certificate {self.fingerprint} is not valid at this time")


def read_registered(pem: str) -> Presented:
    """Read the one certificate (PEM) that is to be registered. Raises NotAClientCertificate or PublishedKey."""
    try:
        found = keys.load_certificates(pem.encode("utf-8", "replace"))
    except BadCertificate as problem:
        raise NotAClientCertificate(problem.sentence) from None
    if len(found) != 1:
        raise NotAClientCertificate(f"{len(found)} certificates were given, a person has one")
    keys.check_not_published(keys.public_key(found[0]))
    return _presented(found[0])


def read_presented(der: bytes) -> Presented:
    """Read the certificate (DER) of a handshake. Raises NotAuthenticated."""
    try:
        return _presented(keys.load_certificate_der(der))
    except (BadCertificate, NotAClientCertificate) as problem:
        raise NotAuthenticated(problem.sentence) from None


def _presented(certificate: x509.Certificate) -> Presented:
    if is_authority(certificate):
        raise NotAClientCertificate("the certificate is a CA's")
    if not _is_client(certificate):
        raise NotAClientCertificate("the certificate is not for TLS clients (EKU clientAuth)")
    if not names.names_of(certificate):
        raise NotAClientCertificate("the certificate names nobody (subject alternative name)")
    weakness = keys.is_weak(keys.public_key(certificate))
    if weakness is not None:
        raise NotAClientCertificate(f"the certificate's key is weak: {weakness}")
    return Presented(
        fingerprint=hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        not_before_ms=_ms(certificate.not_valid_before_utc),
        not_after_ms=_ms(certificate.not_valid_after_utc),
    )


def _is_client(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages and ExtendedKeyUsageOID.SERVER_AUTH not in usages


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
