"""The certificates of one Flink cluster: two authorities that never meet, and PKCS#12 stores that Java reads.

World: entropy. Whoever holds a certificate of the internal authority is a part of the cluster; whoever holds one of the
REST authority may submit jobs. They are apart, so that a client's certificate does not make a task manager. The keys
of both authorities are forgotten once the certificates are made. Threat DP-05.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from strongroom.pki import keys
from strongroom.pki.authority import SKEW, Authority, Leaf
from strongroom.pki.keystores.entries import KeyEntry, TrustedEntry
from strongroom.pki.keystores.pkcs12 import write_key_store, write_trust_store
from strongroom.pki.names import server_names
from strongroom.secret import Secret

DAYS: Final = 365  # a cluster on one machine is made anew, not renewed
CLIENT_NAME: Final = "flink-client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A key store and the trust store beside it, each PKCS#12, with the password that opens both."""

    keys: Secret
    trust: bytes
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterIdentities:
    """Everything a new cluster needs; the client's also as PEM, for what is not Java."""

    internal: Identity
    rest_server: Identity
    rest_client: Identity
    client: Leaf
    rest_ca_pem: bytes


def make_identities(names: list[str], *, now: datetime) -> ClusterIdentities:
    """Make the certificates of a cluster whose REST API is reached under `names`."""
    rest = Authority.create("Strongroom Flink REST", now=now, days=DAYS + 1, curve=ec.SECP256R1)
    client = rest.issue_client(CLIENT_NAME, now=now, days=DAYS)
    return ClusterIdentities(
        internal=_internal(names, now),
        rest_server=identity(rest.issue_server(names, now=now, days=DAYS), rest.certificate_pem),
        rest_client=identity(client, rest.certificate_pem),
        client=client,
        rest_ca_pem=rest.certificate_pem,
    )


def identity(leaf: Leaf, ca_pem: bytes) -> Identity:
    """Return a certificate and its key as stores under a fresh password; trusted are the CA's certificates alone."""
    password = secrets.token_urlsafe(24)
    chain = keys.load_certificates(leaf.certificate_pem)
    trusted = keys.load_certificates(ca_pem)
    key = keys.load_private_key(leaf.key_pem)
    entry = KeyEntry(
        alias="flink",
        key=Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())),
        chain=tuple(_der(each) for each in (chain if len(chain) > 1 else chain + trusted)),
    )
    others = [TrustedEntry(alias=f"ca-{number}", certificate=_der(each)) for number, each in enumerate(trusted)]
    words = Secret(password.encode())
    return Identity(
        keys=Secret(write_key_store(entry, words)), trust=write_trust_store(others, words), password=password
    )


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _internal(names: list[str], now: datetime) -> Identity:
    """Every process is server and client of every other, so this leaf is both: `Authority` makes none such."""
    authority = Authority.create("Strongroom Flink internal", now=now, days=DAYS + 1, curve=ec.SECP256R1)
    issuer = keys.load_certificates(authority.certificate_pem)[0]
    key = ec.generate_private_key(ec.SECP256R1())
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "flink-internal")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .add_extension(x509.SubjectAlternativeName(server_names(names)), critical=False)
        .sign(keys.load_private_key(authority.key_pem), hashes.SHA256())
    )
    leaf = Leaf(certificate_pem=keys.certificate_pem(certificate), key_pem=keys.private_pem(key))
    return identity(leaf, authority.certificate_pem)
