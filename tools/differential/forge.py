"""Forge a whole platform: PKI, quote and collateral, from a recipe whose every field can be wrong and still be signed.

Nothing here uses Strongroom's own writers, so that a mistake there cannot hide behind the same mistake here. A recipe
is a tree of plain, mutable values; `render` turns it into bytes and signs what is to be signed with the keys that the
recipe names. Layouts: Intel's ECDSA quote library (quote versions 3, 4, 5), RFC 5280 (certificates and CRLs).
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

Edit: TypeAlias = Callable[[bytes], bytes]  # of the part that a signature covers
Json: TypeAlias = dict[str, object]

NOW: Final = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
ROLES: Final = ("root", "pck_ca", "pck", "tcb_signer", "stranger", "attestation")
KEYS: Final = {  # known to everybody, so that a seed gives the same bytes on every machine
    role: ec.derive_private_key(int.from_bytes(hashlib.sha256(role.encode()).digest(), "big") >> 1, ec.SECP256R1())
    for role in ROLES
}
_ECDSA: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)  # RFC 6979
SGX_EXTENSION: Final = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
_SGX_ARC: Final = bytes.fromhex("2a864886f84d010d01")
VENDOR: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
SGX, TDX = "SGX", "TDX"
FMSPC: Final = bytes.fromhex("f0a1b2c3d4e5")
QE_SIGNER: Final = hashlib.sha256(b"signer of the forged quoting enclave").digest()
BODY_TYPE_SIZES: Final = {1: 384, 2: 584, 3: 648}


@dataclass
class Certificate:
    """One certificate: who it names, who signs it, what it may do; `edit` rewrites the signed part before signing."""

    name: str
    key: str
    issuer: str
    signer: str
    since: datetime = NOW - timedelta(days=400)
    until: datetime = NOW + timedelta(days=2000)
    serial: int = 1
    ca: bool = False
    path_length: int | None = None
    signs_certificates: bool = False
    signs_data: bool = True
    constraints: bool = True
    usage: bool = True
    identifiers: bool = True
    sgx: bytes | None = None
    sha384: bool = False
    edit: Edit | None = None


@dataclass
class Crl:
    """One revocation list."""

    issuer: str
    signer: str
    since: datetime = NOW - timedelta(days=1)
    until: datetime = NOW + timedelta(days=29)
    revoked: list[int] = field(default_factory=list)
    number: bool = True
    identifier: bool = True
    edit: Edit | None = None


@dataclass
class Document:
    """A signed JSON document: the object, or `text` where it is given; `wrap` changes the text after signing."""

    value: Json
    signer: str = "tcb_signer"
    chain: list[str] = field(default_factory=lambda: ["tcb_signer", "root"])
    edit: Callable[[str], str] | None = None  # before signing
    wrap: Callable[[str], str] | None = None  # after signing


@dataclass
class Quote:
    """A quote, field by field. Body and QE report are flat byte strings that mutations overwrite in place."""

    version: int
    tee: str
    body_type: int
    body: bytearray
    qe_report: bytearray
    header_tee: int | None = None
    key_type: int = 2
    vendor: bytes = VENDOR
    user_data: bytes = bytes(20)
    qe_auth: bytes = bytes(range(32))
    bind_key: bool = True  # put the hash of attestation key and qe_auth into the QE report
    report_signer: str = "pck"
    body_signer: str = "attestation"
    outer_type: int = 6
    certification_type: int = 5
    chain: list[str] = field(default_factory=lambda: ["pck", "pck_ca", "root"])
    chain_tail: bytes = b"\0"
    certification_data: bytes | None = None
    auth_tail: bytes = b""
    inner_tail: bytes = b""
    trailing: bytes = b""
    edit: Edit | None = None  # of the finished bytes


@dataclass
class Recipe:
    """Everything that one verification looks at."""

    at: datetime
    certificates: dict[str, Certificate]
    crls: dict[str, Crl]
    documents: dict[str, Document]
    quote: Quote
    crl_chain: list[str] = field(default_factory=lambda: ["pck_ca", "root"])
    rewrite: Callable[[dict[str, str]], None] | None = None  # of the nine strings

    def copy(self) -> Recipe:
        """Return a recipe that can be changed without touching this one."""
        return copy.deepcopy(self)


@dataclass(frozen=True)
class Case:
    """What a verifier gets: the quote, nine strings of collateral, the root to pin (DER), the time."""

    quote: bytes
    collateral: dict[str, str]
    root: bytes
    at: datetime


# --- recipes of sound evidence -------------------------------------------------------------------------------------


def sound(tee: str, version: int, body_type: int, *, ca: str = "Platform") -> Recipe:
    """Return a recipe whose evidence every verifier accepts as UpToDate."""
    components = [11, 11, 2, 2, 255, 1, *[0] * 10]
    return Recipe(
        at=NOW,
        certificates=_certificates(components, ca),
        crls={
            "root": Crl("Simulated SGX Root CA", "root", until=NOW + timedelta(days=300)),
            "pck": Crl(f"Simulated SGX PCK {ca} CA", "pck_ca"),
        },
        documents={"tcb_info": Document(_tcb_info(tee, components)), "qe_identity": Document(_qe_identity(tee))},
        quote=Quote(
            version=version, tee=tee, body_type=body_type, body=_body(body_type, components),
            qe_report=_qe_report(tee, components),
        ),
    )  # fmt: skip


def sgx_extension(
    components: list[int],
    *,
    pce_svn: int = 13,
    fmspc: bytes = FMSPC,
    pce_id: bytes = bytes(2),
    platform: bool = True,
) -> bytes:
    """Return the SGX extension of a PCK certificate; every argument may be wrong."""
    members = [
        _member((1,), _tlv(4, b"SIM" + bytes(13))),
        _member((2,), _tlv(0x30, b"".join(
            [_member((2, index), _number(svn)) for index, svn in enumerate([*components, pce_svn], 1)]
            + [_member((2, 18), _tlv(4, bytes(svn & 0xFF for svn in components)))]))),
        _member((3,), _tlv(4, pce_id)),
        _member((4,), _tlv(4, fmspc)),
        _member((5,), _tlv(0x0A, bytes([int(platform)]))),
    ]  # fmt: skip
    if platform:
        flags = b"".join(_member((7, word), _tlv(1, b"\0")) for word in (1, 2, 3))
        members += [_member((6,), _tlv(4, bytes(16))), _member((7,), _tlv(0x30, flags))]
    return _tlv(0x30, b"".join(members))


def _certificates(components: list[int], ca: str) -> dict[str, Certificate]:
    root, pck_ca = "Simulated SGX Root CA", f"Simulated SGX PCK {ca} CA"

    def authority(name: str, key: str, serial: int, path_length: int) -> Certificate:
        return Certificate(
            name, key, root, "root", serial=serial, path_length=path_length,
            ca=True, signs_certificates=True, signs_data=False,
        )  # fmt: skip

    return {
        "root": authority(root, "root", 1, 1),
        "pck_ca": authority(pck_ca, "pck_ca", 2, 0),
        "pck": Certificate(
            "Simulated SGX PCK Certificate", "pck", pck_ca, "pck_ca", serial=3,
            sgx=sgx_extension(components, platform=ca == "Platform"),
        ),
        "tcb_signer": Certificate("Simulated SGX TCB Signing", "tcb_signer", root, "root", serial=4),
        "stranger": Certificate("Simulated SGX TCB Signing", "stranger", root, "stranger", serial=5),
    }  # fmt: skip


def _tcb_info(tee: str, components: list[int]) -> Json:
    tdx = {"tdxtcbcomponents": [{"svn": svn} for svn in [5, 1, 3, *[0] * 13]]} if tee == TDX else {}
    older = {"tdxtcbcomponents": [{"svn": 0}] * 16} if tee == TDX else {}
    return {
        "id": tee,
        "version": 3,
        "issueDate": _stamp(NOW - timedelta(days=1)),
        "nextUpdate": _stamp(NOW + timedelta(days=29)),
        "fmspc": FMSPC.hex().upper(),
        "pceId": "0000",
        "tcbType": 0,
        "tcbEvaluationDataNumber": 20,
        **(_tdx_modules() if tee == TDX else {}),
        "tcbLevels": [
            {
                "tcb": {"sgxtcbcomponents": [{"svn": svn} for svn in components], "pcesvn": 13, **tdx},
                "tcbDate": "2026-01-01T00:00:00Z",
                "tcbStatus": "UpToDate",
            },
            {
                "tcb": {"sgxtcbcomponents": [{"svn": 0}] * 16, "pcesvn": 0, **older},
                "tcbDate": "2023-01-01T00:00:00Z",
                "tcbStatus": "OutOfDate",
                "advisoryIDs": ["INTEL-SA-00001"],
            },
        ],
    }


def _tdx_modules() -> Json:
    seam = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
    levels = [_isv_level(5, "UpToDate"), _isv_level(2, "OutOfDate", "INTEL-SA-00002")]
    return {"tdxModule": seam, "tdxModuleIdentities": [{"id": "TDX_01", **seam, "tcbLevels": levels}]}


def _isv_level(svn: int, status: str, *advisories: str) -> Json:
    level: Json = {"tcb": {"isvsvn": svn}, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": status}
    return {**level, "advisoryIDs": list(advisories)} if advisories else level


def _qe_identity(tee: str) -> Json:
    return {
        "id": "QE" if tee == SGX else "TD_QE",
        "version": 2,
        "issueDate": _stamp(NOW - timedelta(days=1)),
        "nextUpdate": _stamp(NOW + timedelta(days=29)),
        "tcbEvaluationDataNumber": 20,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11" + "00" * 15,
        "attributesMask": "FB" + "FF" * 7 + "00" * 8,
        "mrsigner": QE_SIGNER.hex().upper(),
        "isvprodid": 1 if tee == SGX else 2,
        "tcbLevels": [_isv_level(8, "UpToDate"), _isv_level(4, "OutOfDate", "INTEL-SA-00003")],
    }


def _body(body_type: int, components: list[int]) -> bytearray:
    body = bytearray(BODY_TYPE_SIZES[body_type])
    if body_type == 1:
        body[0:16] = bytes(components)
        body[48:64] = struct.pack("<QQ", 0x5, 0xE7)
        body[64:96], body[128:160] = bytes(range(32)), bytes(range(32, 64))
        return body
    body[0:3] = bytes((5, 1, 3))
    body[16:64] = bytes(range(48))
    body[120:128] = struct.pack("<Q", 1 << 28)
    body[128:136] = bytes.fromhex("e702060000000000")
    body[136:184] = bytes(range(48, 96))
    if body_type == 3:
        body[584:587] = bytes((5, 1, 3))
    return body


def _qe_report(tee: str, components: list[int]) -> bytearray:
    report = bytearray(384)
    report[0:16] = bytes(components)
    report[48:64] = struct.pack("<QQ", 0x15, 0xE7)
    report[128:160] = QE_SIGNER
    report[256:260] = struct.pack("<HH", 1 if tee == SGX else 2, 8)
    return report


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# --- from a recipe to bytes ----------------------------------------------------------------------------------------


def render(recipe: Recipe) -> Case:
    """Return the bytes of a recipe, signed as it says."""
    ders = {role: render_certificate(made) for role, made in recipe.certificates.items()}
    pems = {role: _pem(der) for role, der in ders.items()}
    collateral: dict[str, str] = {}
    for name, document in recipe.documents.items():
        text = json.dumps(document.value, separators=(",", ":"))
        text = document.edit(text) if document.edit else text
        collateral[f"{name}_signature"] = _signed(document.signer, text.encode()).hex()
        collateral[name] = document.wrap(text) if document.wrap else text
        collateral[f"{name}_issuer_chain"] = "".join(pems[role] for role in document.chain)
    collateral["root_ca_crl"] = render_crl(recipe.crls["root"]).hex()
    collateral["pck_crl"] = render_crl(recipe.crls["pck"]).hex()
    collateral["pck_crl_issuer_chain"] = "".join(pems[role] for role in recipe.crl_chain)
    if recipe.rewrite:
        recipe.rewrite(collateral)
    return Case(quote=render_quote(recipe.quote, pems), collateral=collateral, root=ders["root"], at=recipe.at)


def render_certificate(made: Certificate) -> bytes:
    """Return a certificate as DER."""
    issuer_key, key = KEYS[made.signer], KEYS[made.key].public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(made.name))
        .issuer_name(_name(made.issuer))
        .public_key(key)
        .serial_number(made.serial)
        .not_valid_before(min(made.since, made.until))  # the builder refuses a window that ends before it begins
        .not_valid_after(max(made.until, made.since))
    )
    if made.identifiers:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        ).add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    if made.constraints:
        constraints = x509.BasicConstraints(ca=made.ca, path_length=made.path_length if made.ca else None)
        builder = builder.add_extension(constraints, critical=True)
    if made.usage:
        builder = builder.add_extension(
            x509.KeyUsage(
                digital_signature=made.signs_data, content_commitment=made.signs_data,
                key_cert_sign=made.signs_certificates, crl_sign=made.signs_certificates,
                key_encipherment=False, data_encipherment=False, key_agreement=False,
                encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )  # fmt: skip
    if made.sgx is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(SGX_EXTENSION, made.sgx), critical=False)
    der = builder.sign(
        issuer_key, hashes.SHA384() if made.sha384 else hashes.SHA256(), ecdsa_deterministic=True
    ).public_bytes(serialization.Encoding.DER)
    return resign(der, made.edit, made.signer) if made.edit else der


def render_crl(made: Crl) -> bytes:
    """Return a revocation list as DER."""
    key = KEYS[made.signer]
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_name(made.issuer))
        .last_update(min(made.since, made.until))
        .next_update(max(made.until, made.since))
    )
    if made.number:
        builder = builder.add_extension(x509.CRLNumber(7), critical=False)
    if made.identifier:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    for serial in made.revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(made.since)
        builder = builder.add_revoked_certificate(entry.build())
    der = builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(serialization.Encoding.DER)
    return resign(der, made.edit, made.signer) if made.edit else der


def render_quote(made: Quote, pems: dict[str, str]) -> bytes:
    """Return the bytes of a quote."""
    header_tee = made.header_tee if made.header_tee is not None else (0x81 if made.tee == TDX else 0)
    header = struct.pack("<HHIHH", made.version, made.key_type, header_tee, 8, 13) + made.vendor + made.user_data
    body = bytes(made.body)
    if made.version == 5:
        body = struct.pack("<HI", made.body_type, len(body)) + body
    signed = header + body
    point = _point(KEYS["attestation"])
    report = bytearray(made.qe_report)
    if made.bind_key:
        report[320:352] = hashlib.sha256(point + made.qe_auth).digest()
    chain = "".join(pems[role] for role in made.chain).encode() + made.chain_tail
    data = chain if made.certification_data is None else made.certification_data
    certified = bytes(report) + _signed(made.report_signer, bytes(report))
    certified += struct.pack("<H", len(made.qe_auth)) + made.qe_auth
    certified += struct.pack("<HI", made.certification_type, len(data)) + data + made.inner_tail
    if made.version != 3:
        certified = struct.pack("<HI", made.outer_type, len(certified)) + certified
    auth = _signed(made.body_signer, signed) + point + certified + made.auth_tail
    quote = signed + struct.pack("<I", len(auth)) + auth + made.trailing
    return made.edit(quote) if made.edit else quote


def resign(der: bytes, edit: Edit, signer: str) -> bytes:
    """Return a certificate or CRL whose signed part was edited and signed again."""
    head = _header_length(der)
    signed_length = _total_length(der[head:])
    signed, rest = der[head : head + signed_length], der[head + signed_length :]
    algorithm = rest[: _total_length(rest)]
    edited = edit(signed)
    signature = KEYS[signer].sign(edited, _ECDSA)
    return _tlv(0x30, edited + algorithm + _tlv(3, b"\0" + signature))


def _header_length(der: bytes) -> int:
    return 2 if der[1] < 0x80 else 2 + (der[1] & 0x7F)


def _total_length(der: bytes) -> int:
    head = _header_length(der)
    return head + (der[1] if head == 2 else int.from_bytes(der[2:head], "big"))


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Forge"), x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    )


def _pem(der: bytes) -> str:
    text = base64.b64encode(der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def _signed(role: str, message: bytes) -> bytes:
    r, s = decode_dss_signature(KEYS[role].sign(message, _ECDSA))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PublicFormat.UncompressedPoint
    return key.public_key().public_bytes(serialization.Encoding.X962, form)[1:]


def _member(arc: tuple[int, ...], value: bytes) -> bytes:
    return _tlv(0x30, _tlv(6, _SGX_ARC + bytes(arc)) + value)


def _number(value: int) -> bytes:
    return _tlv(2, value.to_bytes(max(1, value.bit_length() // 8 + 1), "big", signed=True))


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content
