"""The owner's certificate authority: short-lived leaves with one role each, under a CA that outlives them.

World: none; keys come from `cryptography`, the time from the caller. X.509 v3, random serials, ECDSA; a server's
certificate is not usable as a client's (EKU), and a CA of ours cannot make further CAs (path length 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from strongroom.errors import BadInput, Refused
from strongroom.pki import keys, names
from strongroom.pki.keys import PrivateKey, PublicKey
from strongroom.secret import Secret

CA_DAYS: Final = 3650
LEAF_DAYS: Final = 90
SKEW: Final = timedelta(minutes=5)  # certificates are valid a little before they are made: clocks differ


class Role(Enum):
    """What a leaf certificate may be used for: one of a server and a client, but for peers that call each other."""

    SERVER = "server"
    CLIENT = "client"
    PEER = "peer"  # Flink's parts have one key store for both sides of their connections

    @property
    def usages(self) -> tuple[ObjectIdentifier, ...]:
        """The extended key usages of the role."""
        server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
        return {Role.SERVER: (server,), Role.CLIENT: (client,), Role.PEER: (server, client)}[self]


class NotAnAuthority(BadInput):
    """A certificate is not a CA's, so it cannot issue others."""

    code = "SR-NOT-A-CA"
    fix = "Give the certificate and key of a CA, or make one with strongroom init."


class AuthorityEndsFirst(Refused):
    """The CA would end before the certificate it is asked for."""

    code = "SR-CA-ENDS-FIRST"
    fix = "Ask for fewer days, or make a new workspace with a new CA."


class BadRequest(BadInput):
    """A certificate request cannot be read, is not signed with its own key, or has a key of an unwanted type."""

    code = "SR-CSR"
    fix = "Make the request with a P-256, P-384 or RSA-3072 key, for instance with openssl req -new."


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A certificate with its private key, both PEM."""

    certificate_pem: bytes
    key_pem: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A CA that can issue: its certificate and its key belong together."""

    certificate_pem: bytes
    key_pem: Secret

    @classmethod
    def create(
        cls, common_name: str, *, now: datetime, days: int = CA_DAYS, curve: type[ec.EllipticCurve] = ec.SECP384R1
    ) -> Self:
        """Make a self-signed CA with a fresh P-384 (or P-256) key, valid `days` days, path length 0."""
        key = ec.generate_private_key(curve())
        public = key.public_key()
        subject = _subject(common_name)
        certificate = (
            _builder(subject, subject, public, now, now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
            .sign(key, hashes.SHA384())
        )
        return cls(certificate_pem=keys.certificate_pem(certificate), key_pem=keys.private_pem(key))

    @classmethod
    def load(cls, certificate_pem: bytes, key_pem: Secret) -> Self:
        """Take an existing CA; raise if the two do not match, it is no CA, or its key is published or weak."""
        certificate = keys.load_certificates(certificate_pem)[0]
        public = keys.public_key(certificate)
        keys.check_not_published(public)
        if not is_authority(certificate):
            raise NotAnAuthority(f"{certificate.subject.rfc4514_string()[:120]} is not marked as a CA")
        weakness = keys.is_weak(public)
        if weakness is not None:
            raise NotAnAuthority(f"the CA's key is weak: {weakness}")
        keys.check_match(certificate, keys.load_private_key(key_pem), what="CA")
        return cls(certificate_pem=keys.certificate_pem(certificate), key_pem=key_pem)

    def issue_server(self, server_names: Sequence[str], *, now: datetime, days: int = LEAF_DAYS) -> Leaf:
        """Make a key and a certificate for a server with these DNS names or addresses; EKU serverAuth alone."""
        return self._issue(Role.SERVER, ec.generate_private_key(ec.SECP256R1()), server_names, now=now, days=days)

    def issue_client(self, name: str, *, now: datetime, days: int = LEAF_DAYS) -> Leaf:
        """Make a key and a certificate for a client with this DNS name or mail address; EKU clientAuth alone."""
        return self._issue(Role.CLIENT, ec.generate_private_key(ec.SECP256R1()), [name], now=now, days=days)

    def renew_server(
        self, key_pem: Secret, server_names: Sequence[str], *, now: datetime, days: int = LEAF_DAYS
    ) -> Leaf:
        """As `issue_server`, for a key that is there already."""
        return self._issue(Role.SERVER, keys.load_private_key(key_pem), server_names, now=now, days=days)

    def sign_request(
        self, request_pem: bytes, *, role: Role, allowed_names: Sequence[str], now: datetime, days: int = LEAF_DAYS
    ) -> bytes:
        """Return a certificate (PEM) for the key of a request, so that the key need not travel.

        Names and role come from the owner, not from the request. Raises `BadRequest`.
        """
        return self._sign(_requested_key(request_pem), role, allowed_names, now, days)

    def _issue(self, role: Role, key: PrivateKey, wanted: Sequence[str], *, now: datetime, days: int) -> Leaf:
        certificate = self._sign(key.public_key(), role, wanted, now, days)
        return Leaf(certificate_pem=certificate, key_pem=keys.private_pem(key))

    def _sign(self, public: PublicKey, role: Role, wanted: Sequence[str], now: datetime, days: int) -> bytes:
        issuer = keys.load_certificates(self.certificate_pem)[0]
        alternative = names.client_names(wanted) if role is Role.CLIENT else names.server_names(wanted)
        end = now + timedelta(days=days)
        if end >= issuer.not_valid_after_utc:
            raise AuthorityEndsFirst(
                f"the CA ends {issuer.not_valid_after_utc:%Y-%m-%d}, the leaf would {end:%Y-%m-%d}"
            )
        issuer_public = keys.public_key(issuer)
        certificate = (
            _builder(_subject(wanted[0]), issuer.subject, public, now, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(role.usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
            .add_extension(_issuer_id(issuer), critical=False)
            .sign(self._key(), _hash_for(issuer_public))
        )
        return keys.certificate_pem(certificate)

    def _key(self) -> PrivateKey:
        return keys.load_private_key(self.key_pem)


def is_authority(certificate: x509.Certificate) -> bool:
    """Return whether a certificate may issue others: basic constraints say so, and its key usage does not object."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return constraints.ca
    return constraints.ca and usage.key_cert_sign


def _builder(
    subject: x509.Name, issuer: x509.Name, public: PublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _subject(common_name: str) -> x509.Name:
    # A common name has 64 characters at most (RFC 5280, ub-common-name); nobody matches it, names stand in the SAN.
    text = "".join(letter for letter in common_name if letter.isprintable())[:64]
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text or "Strongroom")])


def _issuer_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(keys.public_key(issuer))
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _hash_for(issuer: PublicKey) -> hashes.SHA256 | hashes.SHA384:
    return (
        hashes.SHA384() if isinstance(issuer, ec.EllipticCurvePublicKey) and issuer.key_size > 256 else hashes.SHA256()
    )


def request_for(key_pem: Secret, common_name: str) -> bytes:
    """Return a certificate request (CSR, PEM) for a key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(common_name))
    return builder.sign(keys.load_private_key(key_pem), hashes.SHA256()).public_bytes(Encoding.PEM)


def _requested_key(request_pem: bytes) -> PublicKey:
    if len(request_pem) > keys.MAX_PEM_BYTES:
        raise BadRequest(f"a request of {len(request_pem)} bytes is too long")
    try:
        request = x509.load_pem_x509_csr(request_pem)
        key, signed = request.public_key(), request.is_signature_valid
    except keys.UNREADABLE as problem:
        raise BadRequest(f"the request cannot be read: {str(problem)[:160]}") from None
    if not signed:
        raise BadRequest("the request is not signed with its own key")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 3072 and keys.is_weak(key) is None:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    raise BadRequest(f"the request's key ({type(key).__name__}) is none of P-256, P-384, RSA-3072")
