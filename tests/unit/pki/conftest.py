"""Builders for certificates that no library would make: an attack is a few lines of difference."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from strongroom.pki import ratls

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


@pytest.fixture
def now():
    return NOW


def quote_over(report_data, *, length=4000):
    """A quote as far as binding reads it: 64 bytes of report data at byte 368, the rest filled."""
    return b"\x03\x00\x02\x00" + bytes(364) + report_data + bytes([7]) * (length - 432)


def bound_to(data):
    return hashlib.sha256(data).digest() + bytes(32)


@dataclass
class Forge:
    """Makes self-signed certificates with any extensions, key and dates."""

    now: datetime = NOW

    def certificate(self, key, extensions, *, not_before=None, not_after=None, signer=None, algorithm=None):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "RATLS")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(not_before or self.now - timedelta(hours=1))
            .not_valid_after(not_after or self.now + timedelta(hours=1))
        )
        for oid, value in extensions:
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        signed = builder.sign(signer or key, algorithm if algorithm is not None else hashes.SHA256())
        return signed.public_bytes(ratls.Encoding.DER)

    def unsigned_hash(self, key, extensions):
        """As `certificate`, for keys that sign without a hash (Ed25519)."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "RATLS")])
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(1).not_valid_before(self.now).not_valid_after(self.now + timedelta(hours=1))
        for oid, value in extensions:
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        return builder.sign(key, None).public_bytes(ratls.Encoding.DER)

    def resigned(self, der, key, change, *, algorithm=ECDSA_WITH_SHA256):
        """The same certificate with `change` applied to its signed part, and a fresh ECDSA signature with SHA-256."""
        certificate = x509.load_der_x509_certificate(der)
        tbs = change(certificate.tbs_certificate_bytes)
        signed_part = _der(0x30, tbs[4:])  # the change may have another length
        signature = key.sign(signed_part, ec.ECDSA(hashes.SHA256()))
        return _der(0x30, signed_part + algorithm + _der(0x03, b"\x00" + signature))


def _der(tag, content):
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


@pytest.fixture
def forge():
    return Forge()


@pytest.fixture(scope="session")
def p384():
    return ec.generate_private_key(ec.SECP384R1())


@pytest.fixture
def quoting():
    """Gives `quote_over` and `bound_to`."""
    return quote_over, bound_to


# The modulus of the CA key that lies in the reference solution's public repository; its exponent is 65537.
PUBLISHED_MODULUS = (
    "d99741a3aeaae473141d21d81f14c5d1b47b8613dd207d34bcc4bb0c6acd77ea46c9c61eb8d27e6778967f25b49b2d05c1dfd2c4ea2d0373"
    "4863dc3b66ea597d843da4ceb84b94834915a96e5d170b4180971deb364406f172ec7c3cbfcad0dd0de2405b989eb06bed847b83985d69e9"
    "e1e9223470915480593ca916ee3fba201981c7431d8b9033e5677033908a257d10e95e4659eed16fb783af37b4d51092b08d9f9dd2c1648a"
    "f6fd3a853e0469f7d69883292c1ef7d95da6f0f944a434464451008129f7b382e9b72c17f9d91dd6c35104be5958f32a1daa530603948b37"
    "330709aa817a994f3e1413c71e4c3debf54d04a6321844fd7039ed99eab2563f"
)


@pytest.fixture
def published_key():
    """The public half of a key whose private half everybody has."""
    return rsa.RSAPublicNumbers(65537, int(PUBLISHED_MODULUS, 16)).public_key()
