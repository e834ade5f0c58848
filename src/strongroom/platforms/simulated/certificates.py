"""The certificates of a simulated world: root, PCK CA, PCK leaf, TCB signer, all marked as a simulation.

Pure but for the randomness of serial numbers inside `cryptography`. Roles, key usage and lifetimes are those of Intel's
hierarchy (spec sections 3 and 14.1); names, marking extension and FMSPC say in every certificate what it is (14.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from strongroom.platforms.simulated.hardware import Hardware
from strongroom.platforms.simulated.sgx_extension import SGX_EXTENSION_OID, sgx_extension

MARK_OID: Final = x509.ObjectIdentifier("1.3.6.1.4.1.32473.20.1")  # documentation arc of RFC 5612
MARK: Final = b"\x0c\x09simulated"  # DER UTF8String
ORGANISATION: Final = "Strongroom Simulated Platform"
UNIT: Final = "SIMULATED - NOT A TEE"
ROOT_NAME: Final = "Simulated SGX Root CA"
PCK_CA_NAMES: Final = {"platform": "Simulated SGX PCK Platform CA", "processor": "Simulated SGX PCK Processor CA"}
PCK_NAME: Final = "Simulated SGX PCK Certificate"
TCB_SIGNER_NAME: Final = "Simulated SGX TCB Signing"
ROOT_CRL_URL: Final = "https://simulated.invalid/SimulatedSGXRootCA.der"  # .invalid never resolves (RFC 2606)
PCK_CRL_URL: Final = "https://simulated.invalid/sgx/certification/v4/pckcrl?ca={ca}&encoding=der"

ROOT_YEARS, CA_YEARS, LEAF_YEARS = 30, 15, 7
_BACKDATED: Final = timedelta(days=1)  # clocks of two machines differ


@dataclass(frozen=True, slots=True)
class Holder:
    """A certificate together with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def make_root(key: ec.EllipticCurvePrivateKey, *, now: datetime) -> Holder:
    """Return a self-signed root CA (path length 1)."""
    public = key.public_key()
    builder = _builder(ROOT_NAME, public, ROOT_NAME, public, crl_url=ROOT_CRL_URL, now=now, years=ROOT_YEARS)
    return Holder(_as_ca(builder, path_length=1).sign(key, hashes.SHA256()), key)


def make_pck_ca(key: ec.EllipticCurvePrivateKey, root: Holder, hardware: Hardware, *, now: datetime) -> Holder:
    """Return the PCK CA that the root certifies (path length 0)."""
    public, issuer = key.public_key(), root.key.public_key()
    name = PCK_CA_NAMES[hardware.ca]
    builder = _builder(name, public, ROOT_NAME, issuer, crl_url=ROOT_CRL_URL, now=now, years=CA_YEARS)
    return Holder(_as_ca(builder, path_length=0).sign(root.key, hashes.SHA256()), key)


def make_pck(key: ec.EllipticCurvePrivateKey, ca: Holder, hardware: Hardware, *, now: datetime) -> Holder:
    """Return the PCK leaf of one machine, with the SGX extension."""
    public, issuer = key.public_key(), ca.key.public_key()
    url = PCK_CRL_URL.format(ca=hardware.ca)
    builder = _builder(PCK_NAME, public, PCK_CA_NAMES[hardware.ca], issuer, crl_url=url, now=now, years=LEAF_YEARS)
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(SGX_EXTENSION_OID), sgx_extension(hardware))
    return Holder(_as_leaf(builder).add_extension(extension, critical=False).sign(ca.key, hashes.SHA256()), key)


def make_tcb_signer(key: ec.EllipticCurvePrivateKey, root: Holder, *, now: datetime) -> Holder:
    """Return the signer of TCB info and QE identity."""
    public, issuer = key.public_key(), root.key.public_key()
    builder = _builder(TCB_SIGNER_NAME, public, ROOT_NAME, issuer, crl_url=ROOT_CRL_URL, now=now, years=LEAF_YEARS)
    return Holder(_as_leaf(builder).sign(root.key, hashes.SHA256()), key)


def distinguished_name(common_name: str) -> x509.Name:
    """Return the subject of a role; the same call names it as issuer, so that both are byte-equal."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, UNIT),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def authority_key_identifier(issuer: ec.EllipticCurvePublicKey) -> x509.AuthorityKeyIdentifier:
    """Return the AKI that points at `issuer`."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer)


def _builder(
    subject: str,
    key: ec.EllipticCurvePublicKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePublicKey,
    *,
    crl_url: str,
    now: datetime,
    years: int,
) -> x509.CertificateBuilder:
    start = now.replace(microsecond=0) - _BACKDATED
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)
    return (
        x509.CertificateBuilder()
        .subject_name(distinguished_name(subject))
        .issuer_name(distinguished_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365 * years))
        .add_extension(authority_key_identifier(issuer_key), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.CRLDistributionPoints([point]), critical=False)
        .add_extension(x509.UnrecognizedExtension(MARK_OID, MARK), critical=False)
    )


def _as_ca(builder: x509.CertificateBuilder, *, path_length: int) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    return builder.add_extension(constraints, critical=True).add_extension(_usage(ca=True), critical=True)


def _as_leaf(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=False, path_length=None)
    return builder.add_extension(constraints, critical=True).add_extension(_usage(ca=False), critical=True)


def _usage(*, ca: bool) -> x509.KeyUsage:
    """CAs sign certificates and CRLs; leaves sign data (digitalSignature, nonRepudiation)."""
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
