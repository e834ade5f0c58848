"""What the client trusts about servers and shows of itself: CA, pinned certificate, client certificate and key."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.errors import BadInput


class BadCredentials(BadInput):
    """A certificate or key file of the client cannot be used."""

    code = "SR-CREDENTIALS"
    fix = "Check --ca, --crt and --key: PEM files, the key without a passphrase and belonging to the certificate."


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Files that decide whom the client believes.

    ca: certificates that may issue a server's certificate; without it, those of the operating system.
    pin: instead of `ca`, the one certificate the server must show (one-way TLS of the reference solution).
    certificate, key: what the client shows of itself (mutual TLS).
    server_name: the name the server's certificate must carry, where it is not the host of the address.
    """

    ca: Path | None = None
    pin: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def check(self) -> None:
        """Raise BadCredentials where the files contradict each other or are no certificates."""
        if self.ca and self.pin:
            raise BadCredentials("a CA and a pinned certificate exclude each other")
        if bool(self.certificate) != bool(self.key):
            raise BadCredentials("a client certificate and its key go together")
        for path in filter(None, (self.ca, self.pin, self.certificate)):
            read_certificates(path)
        if self.ca and not any(map(_may_issue, read_certificates(self.ca))):
            raise BadCredentials(
                f"{self.ca} is no CA certificate",
                fix="To trust this one server certificate, give it as --crt without --ca and --key.",
            )

    def context(self) -> ssl.SSLContext:
        """Return a TLS client context: TLS 1.2 or newer, chain and name always checked. Raises BadCredentials."""
        self.check()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # Python before 3.11.4 takes a cut connection for its end
        root = self.ca or self.pin
        try:
            if root:
                context.load_verify_locations(root)
            else:
                context.load_default_certs()
            if self.pin:
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            if self.certificate and self.key:
                context.load_cert_chain(self.certificate, self.key, password=_no_passphrase)
        except ssl.SSLError as problem:
            raise BadCredentials(f"the client's TLS files do not fit: {problem.reason or problem}") from None
        return context

    def channel_credentials(self, *, attested_pem: bytes | None = None) -> Any:  # noqa: ANN401  # grpc has no types
        """Return gRPC's form of the same; `attested_pem` narrows the trust to one certificate.

        Raises BadCredentials.
        """
        import grpc

        self.context()  # says what is wrong with the files; gRPC would only say that the connection failed
        root = self.ca or self.pin
        return grpc.ssl_channel_credentials(
            root_certificates=attested_pem or (root.read_bytes() if root else None),
            private_key=self.key.read_bytes() if self.key else None,
            certificate_chain=self.certificate.read_bytes() if self.certificate else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """What a server showed on one connection, after chain and name were checked."""

    pem: bytes
    spki: bytes
    sha256: str
    subject: str
    issuer: str
    pinned: bool

    @classmethod
    def of(cls, der: bytes, credentials: Credentials) -> ServerCertificate:
        """Return the facts of a leaf certificate. Raises ValueError where it cannot be parsed."""
        leaf = x509.load_der_x509_certificate(der)
        roots = read_certificates(credentials.ca or credentials.pin) if credentials.ca or credentials.pin else []
        return cls(
            pem=leaf.public_bytes(Encoding.PEM),
            spki=leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            sha256=hashlib.sha256(der).hexdigest(),
            subject=leaf.subject.rfc4514_string(),
            issuer=leaf.issuer.rfc4514_string(),
            pinned=leaf in roots,
        )


def read_certificates(path: Path | None) -> list[x509.Certificate]:
    """Return the certificates of a PEM file. Raises BadCredentials, or OSError where there is no file."""
    if path is None:
        return []
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError:
        raise BadCredentials(f"{path} holds no PEM certificate") from None


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return certificate.version == x509.Version.v1 and certificate.issuer == certificate.subject


def _no_passphrase() -> NoReturn:
    raise BadCredentials("the client's key is protected by a passphrase")
