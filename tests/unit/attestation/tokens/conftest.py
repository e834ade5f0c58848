"""A token service in a few lines, that signs whatever a test wants it to have said."""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from strongroom.attestation.tokens import ITA, MAA, SIMULATED_MARK, KeySet, Profile, verify_token

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MAA_ISSUER = "https://sharedcus.cus.attest.azure.net"
ITA_ISSUER = "Intel Trust Authority"
REPORT_DATA = bytes(range(32)) + bytes(32)
MAA_SGX = {
    "x-ms-ver": "1.0", "x-ms-attestation-type": "sgx", "x-ms-sgx-is-debuggable": False,
    "x-ms-sgx-mrenclave": "e1" * 32, "x-ms-sgx-mrsigner": "51" * 32, "x-ms-sgx-product-id": 7, "x-ms-sgx-svn": 3,
    "x-ms-sgx-report-data": REPORT_DATA.hex(), "x-ms-policy-hash": "B56nbp5slhw66peoRYkpdq1WykMkEworvdol08hnMXE",
}  # fmt: skip
TDX = {
    "attester_tcb_status": "UpToDate", "dbgstat": "disabled", "tdx_mrtd": "5b" * 48, "tdx_mrseam": "2f" * 48,
    "tdx_mrsignerseam": "00" * 48, "tdx_mrconfigid": "00" * 48, "tdx_mrowner": "00" * 48,
    "tdx_mrownerconfig": "00" * 48, "tdx_rtmr0": "a0" * 48, "tdx_rtmr1": "a1" * 48, "tdx_rtmr2": "a2" * 48,
    "tdx_rtmr3": "a3" * 48, "tdx_report_data": REPORT_DATA.hex(), "tdx_seam_attributes": "00" * 8,
    "tdx_seamsvn": 3, "tdx_td_attributes": "0000001000000000", "tdx_td_attributes_debug": False,
    "tdx_tee_tcb_svn": "03000600000000000000000000000000", "tdx_xfam": "e718060000000000",
}  # fmt: skip
MAA_TDX = {"x-ms-ver": "1.0", "x-ms-attestation-type": "tdxvm", **TDX}
ITA_SGX = {
    "ver": "1.0.0", "attester_type": "SGX", "attester_tcb_status": "SWHardeningNeeded",
    "attester_advisory_ids": ["INTEL-SA-00334"], "attester_tcb_date": "2025-08-13T00:00:00Z",
    "sgx_is_debuggable": False, "sgx_mrenclave": "e1" * 32, "sgx_mrsigner": "51" * 32, "sgx_isvprodid": 7,
    "sgx_isvsvn": 3, "sgx_report_data": REPORT_DATA.hex(),
}  # fmt: skip
ITA_TDX = {"ver": "1.0.0", "attester_type": "TDX", **TDX}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def jwk(key, kid, **members):
    numbers = key.public_key().public_numbers()
    n, e = (b64(v.to_bytes((v.bit_length() + 7) // 8, "big")).decode() for v in (numbers.n, numbers.e))
    return {"kty": "RSA", "use": "sig", "kid": kid, "n": n, "e": e} | members


def certificate(key, *, not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=1)):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, MAA_ISSUER)])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, not_before, not_after)
    return base64.b64encode(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)).decode()


def sign(key, algorithm, signed):
    if algorithm == "PS384":
        return key.sign(signed, padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384())
    return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())


@dataclass
class Service:
    """One issuer with one key; `token` changes claims and header as told, None removes one."""

    profile: Profile
    issuer: str
    key: rsa.RSAPrivateKey
    claims: dict
    algorithm: str = "RS256"
    now: datetime = NOW
    header: dict = field(default_factory=dict)

    def payload(self, changes):
        seconds = int(self.now.timestamp())
        dates = {"iss": self.issuer, "iat": seconds - 10, "nbf": seconds - 10, "exp": seconds + 3600}
        return {name: value for name, value in (dates | self.claims | changes).items() if value is not None}

    def token(self, *, header=None, key=None, algorithm=None, **changes):
        changes = {name.replace("__", "-"): value for name, value in changes.items()}
        return self.signed(json.dumps(self.payload(changes)).encode(), header=header, key=key, algorithm=algorithm)

    def signed(self, payload, *, header=None, key=None, algorithm=None):
        members = {"alg": algorithm or self.algorithm, "kid": "one", "typ": "JWT"} | self.header | (header or {})
        head = json.dumps({name: value for name, value in members.items() if value is not None}).encode()
        parts = b64(head) + b"." + b64(payload)
        return parts + b"." + b64(sign(key or self.key, members.get("alg"), parts))

    def keys(self, entry=None, **members):
        data = json.dumps({"keys": [entry or jwk(self.key, "one")], **members}).encode()
        return KeySet.parse(data, issuer=self.issuer, url=next(iter(self.profile.key_set_urls(self.issuer)), None))

    def verify(self, token, *, keys=None, at=None, **options):
        return verify_token(token, keys or self.keys(), self.profile, at=at or self.now, **options)


@pytest.fixture(scope="session")
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def other_key():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def maa(rsa_key):
    return Service(MAA, MAA_ISSUER, rsa_key, MAA_SGX)


@pytest.fixture
def maa_tdx(rsa_key):
    return Service(MAA, MAA_ISSUER, rsa_key, MAA_TDX)


@pytest.fixture
def ita(rsa_key):
    return Service(ITA, ITA_ISSUER, rsa_key, ITA_SGX, "PS384")


@pytest.fixture
def ita_tdx(rsa_key):
    return Service(ITA, ITA_ISSUER, rsa_key, ITA_TDX, "PS384")


@pytest.fixture
def double(rsa_key):
    """A local double in the form of MAA: its tokens and its keys carry the mark."""
    return Service(MAA, "http://127.0.0.1:1234", rsa_key, {**MAA_SGX, SIMULATED_MARK: True})


@pytest.fixture
def tools():
    """The builders above, for tests that make what no service would: jwk, certificate, b64."""
    return {"jwk": jwk, "certificate": certificate, "b64": b64, "report_data": REPORT_DATA}
