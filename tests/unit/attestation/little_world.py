"""A platform small enough to break: its own root, PCK chain, collateral and quoting enclave, every part replaceable.

Change the attributes of a `LittleWorld`, then `build()` signs everything anew from the inside out. It shares no code
with the verifier or the simulated platform, so that none of them can agree on the same mistake.
"""

import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
SGX = "1.2.840.113741.1.13.1"
MARKER = "1.3.6.1.4.1.32473.20.1"
USAGE = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
KEYS = {role: ec.generate_private_key(ec.SECP256R1()) for role in
        ("root", "ca", "leaf", "signer", "attestation", "other")}  # fmt: skip


def tlv(tag, content):
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def oid(dotted):
    first, second, *rest = map(int, dotted.split("."))
    octets = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        octets += bytes(reversed(groups))
    return tlv(0x06, bytes(octets))


def integer(number):
    return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def member(arcs, value):
    return tlv(0x30, oid(f"{SGX}.{arcs}") + value)


def raw_signature(key, message):
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def raw_point(key):
    return key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)[1:]


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Recipe:
    """How one certificate is made; `issuer` and `signed_by` are roles."""

    name: str
    issuer: str
    key: object
    ca: bool = False
    path_length: int | None = None
    usage: tuple = ("digital_signature", "content_commitment")
    since: datetime = NOW - 100 * DAY
    until: datetime = NOW + 1000 * DAY
    signed_by: object = None  # a key; by default the issuer's
    digest: object = field(default_factory=hashes.SHA256)
    extensions: list = field(default_factory=list)  # (OID, bytes, critical)
    serial: int = 0
    issuer_name: str = ""


class LittleWorld:
    def __init__(self, prefix="Intel SGX"):
        both = ("key_cert_sign", "crl_sign")
        self.prefix = prefix
        self.now = NOW
        self.recipes = {
            "root": Recipe("Root CA", "root", KEYS["root"], ca=True, path_length=1, usage=both, serial=1001),
            "ca": Recipe("PCK Platform CA", "root", KEYS["ca"], ca=True, path_length=0, usage=both, serial=1002),
            "leaf": Recipe("PCK Certificate", "ca", KEYS["leaf"], serial=1003),
            "signer": Recipe("TCB Signing", "root", KEYS["signer"], serial=1004),
        }
        self.sgx = {
            "1": tlv(0x04, b"SIM" + bytes(13)),
            "3": tlv(0x04, bytes.fromhex("0000")),
            "4": tlv(0x04, bytes.fromhex("f0a1b2c3d4e5")),
            "5": tlv(0x0A, b"\x01"),
            "6": tlv(0x04, bytes(range(16))),
            "7": tlv(0x30, member("7.1", b"\x01\x01\xff") + member("7.2", b"\x01\x01\x00")),
        }
        self.tcb = {f"2.{arc}": integer(10) for arc in range(1, 17)} | {
            "2.17": integer(13),
            "2.18": tlv(0x04, bytes([10] * 16)),
        }
        self.sgx_extensions = 1
        self.sgx_raw = None  # replaces the whole extension value
        self.tcb_info = self._tcb_info()
        self.qe_identity = self._qe_identity()
        self.tcb_info_text = self.qe_identity_text = None  # replace the compact JSON
        self.tcb_signing_key = self.qe_signing_key = None
        self.tcb_chain = self.qe_chain = ("signer", "root")
        self.pck_chain = ("leaf", "ca", "root")
        self.crl_chain = ("ca", "root")
        self.crls = {"root": {"issuer": "root", "revoked": [], "key": None, "since": NOW - DAY, "until": NOW + 29 * DAY,
                              "number": 7, "aki": True},
                     "pck": {"issuer": "ca", "revoked": [], "key": None, "since": NOW - DAY, "until": NOW + 29 * DAY,
                             "number": 9, "aki": True}}  # fmt: skip
        self.body = report(
            mr_enclave=b"\xe1" * 32,
            mr_signer=b"\x51" * 32,
            attributes=b"\x05" + bytes(7) + b"\xe7" + bytes(7),
            isv_prod_id=3,
            isv_svn=7,
            report_data=bytes(range(64)),
        )
        self.qe_fields = {"mr_signer": b"\x9e" * 32, "isv_prod_id": 1, "isv_svn": 8,
                          "attributes": b"\x15" + bytes(7) + b"\xe7" + bytes(7)}  # fmt: skip
        self.qe_report_data = None
        self.qe_auth = bytes(range(32))
        self.attestation_point = None
        self.attestation_key = KEYS["attestation"]
        self.qe_report_key = None
        self.header = header(3, 0)
        self.body_head = b""  # what version 5 says of its body
        self.outer_type = 6  # of the certification data of versions 4 and 5
        self.outer_trailing = b""
        self.cert_type = 5
        self.cert_data = None
        self.auth_trailing = b""
        self.padding = b""
        self.collateral_edits = {}

    def become(self, version, body_type=1, **fields):
        """Make quotes of another version, and for body types 2 and 3 of TDX; `fields` are the TD report's."""
        tdx = body_type != 1
        self.header = header(version, 0x81 if tdx else 0)
        if tdx:
            self.body = td_report(with_1_5=body_type == 3, **fields)
            self.qe_identity["id"], self.qe_identity["isvprodid"] = "TD_QE", 2
            self.qe_fields["isv_prod_id"] = 2
            self.tcb_info |= {"id": "TDX", "tdxModule": module(), "tdxModuleIdentities": [
                {"id": "TDX_01", **module(), "tcbLevels": [isv_level(5, "UpToDate"), isv_level(2, "OutOfDate", "M")]},
            ]}  # fmt: skip
            for level in self.tcb_info["tcbLevels"]:
                level["tcb"]["tdxtcbcomponents"] = [{"svn": 0}, {"svn": 0}, {"svn": 3}] + [{"svn": 0}] * 13
        if version == 5:
            self.body_head = struct.pack("<HI", body_type, len(self.body))
        return self

    def _tcb_info(self):
        def level(svn, status, date, advisories=None):
            tcb = {"sgxtcbcomponents": [{"svn": svn}] * 16, "pcesvn": svn}
            extra = {"advisoryIDs": advisories} if advisories else {}
            return {"tcb": tcb, "tcbDate": date, "tcbStatus": status, **extra}

        return {
            "id": "SGX",
            "version": 3,
            "issueDate": stamp(NOW - DAY),
            "nextUpdate": stamp(NOW + 29 * DAY),
            "fmspc": "F0A1B2C3D4E5",
            "pceId": "0000",
            "tcbType": 0,
            "tcbEvaluationDataNumber": 19,
            "tcbLevels": [
                level(10, "UpToDate", "2025-08-01T00:00:00Z"),
                level(5, "OutOfDate", "2023-02-15T00:00:00Z", ["INTEL-SA-00615"]),
            ],
        }

    def _qe_identity(self):
        return {
            "id": "QE",
            "version": 2,
            "issueDate": stamp(NOW - DAY),
            "nextUpdate": stamp(NOW + 29 * DAY),
            "tcbEvaluationDataNumber": 17,
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "11" + "00" * 15,
            "attributesMask": "FB" + "FF" * 7 + "00" * 8,
            "mrsigner": "9E" * 32,
            "isvprodid": 1,
            "tcbLevels": [
                {"tcb": {"isvsvn": 8}, "tcbDate": "2025-08-01T00:00:00Z", "tcbStatus": "UpToDate"},
                {"tcb": {"isvsvn": 6}, "tcbDate": "2023-02-15T00:00:00Z", "tcbStatus": "OutOfDate",
                 "advisoryIDs": ["INTEL-SA-00477"]},
            ],
        }  # fmt: skip

    def name(self, role):
        recipe = self.recipes[role]
        common = recipe.name if recipe.name.startswith("=") else f"{self.prefix} {recipe.name}"
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Little World"),
                x509.NameAttribute(NameOID.COMMON_NAME, common.removeprefix("=")),
            ]
        )

    def certificate(self, role):
        recipe = self.recipes[role]
        issuer = self.name(recipe.issuer)
        if recipe.issuer_name:
            issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, recipe.issuer_name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name(role))
            .issuer_name(issuer)
            .public_key(recipe.key.public_key())
            .serial_number(recipe.serial)
            .not_valid_before(recipe.since)
            .not_valid_after(recipe.until)
            .add_extension(x509.BasicConstraints(recipe.ca, recipe.path_length), critical=True)
            .add_extension(x509.KeyUsage(**{word: word in recipe.usage for word in USAGE}), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(recipe.key.public_key()), critical=False)
        )
        extensions = list(recipe.extensions)
        if role == "leaf":
            extensions += [(SGX, self.sgx_value(), False)] * self.sgx_extensions
        for dotted, value, critical in extensions:
            unrecognised = x509.UnrecognizedExtension(x509.ObjectIdentifier(dotted), value)
            builder = builder.add_extension(unrecognised, critical=critical)
        key = recipe.signed_by or self.recipes[recipe.issuer].key
        return builder.sign(key, recipe.digest)

    def sgx_value(self):
        if self.sgx_raw is not None:
            return self.sgx_raw
        tcb = tlv(0x30, b"".join(member(arc, value) for arc, value in self.tcb.items()))
        members = {"1": self.sgx.get("1"), "2": tcb} | self.sgx
        return tlv(0x30, b"".join(member(arc, value) for arc, value in members.items() if value is not None))

    def crl(self, which):
        recipe = self.crls[which]
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name(recipe["issuer"]))
            .last_update(recipe["since"])
            .next_update(recipe["until"])
        )
        if recipe["number"] is not None:
            builder = builder.add_extension(x509.CRLNumber(recipe["number"]), critical=False)
        key = recipe["key"] or self.recipes[recipe["issuer"]].key
        if recipe["aki"]:
            aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
            builder = builder.add_extension(aki, critical=False)
        for serial in recipe["revoked"]:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(recipe["since"])
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def collateral(self):
        certificates = {role: pem(self.certificate(role)) for role in self.recipes}
        tcb_info = self.tcb_info_text or json.dumps(self.tcb_info, separators=(",", ":"))
        qe_identity = self.qe_identity_text or json.dumps(self.qe_identity, separators=(",", ":"))
        signer = self.recipes["signer"].key
        parts = {
            "tcb_info": tcb_info,
            "tcb_info_signature": raw_signature(self.tcb_signing_key or signer, tcb_info.encode()).hex(),
            "tcb_info_issuer_chain": "".join(certificates[role] for role in self.tcb_chain),
            "qe_identity": qe_identity,
            "qe_identity_signature": raw_signature(self.qe_signing_key or signer, qe_identity.encode()).hex(),
            "qe_identity_issuer_chain": "".join(certificates[role] for role in self.qe_chain),
            "root_ca_crl": self.crl("root").hex(),
            "pck_crl": self.crl("pck").hex(),
            "pck_crl_issuer_chain": "".join(certificates[role] for role in self.crl_chain),
        }
        return parts | self.collateral_edits

    def quote(self):
        signed = self.header + self.body_head + self.body
        point = self.attestation_point or raw_point(self.attestation_key)
        bound = self.qe_report_data
        if bound is None:
            bound = hashlib.sha256(point + self.qe_auth).digest() + bytes(32)
        qe_report = report(**self.qe_fields, report_data=bound)
        chain = self.cert_data
        if chain is None:
            chain = "".join(pem(self.certificate(role)) for role in self.pck_chain).encode() + b"\0"
        nested = b"".join(
            (
                qe_report,
                raw_signature(self.qe_report_key or KEYS["leaf"], qe_report),
                struct.pack("<H", len(self.qe_auth)),
                self.qe_auth,
                struct.pack("<HI", self.cert_type, len(chain)),
                chain,
                self.auth_trailing,
            )
        )
        if self.header[0] > 3:
            nested = struct.pack("<HI", self.outer_type, len(nested)) + nested + self.outer_trailing
        auth = raw_signature(self.attestation_key, signed) + point + nested
        return signed + struct.pack("<I", len(auth)) + auth + self.padding

    def root_der(self):
        return self.certificate("root").public_bytes(serialization.Encoding.DER)


def header(version, tee_type):
    return struct.pack("<HHIHH", version, 2, tee_type, 8, 13) + VENDOR + bytes(20)


def module(**more):
    return {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8, **more}


def isv_level(isv_svn, status, *advisories):
    level = {"tcb": {"isvsvn": isv_svn}, "tcbDate": "2025-01-01T00:00:00Z", "tcbStatus": status}
    return level | ({"advisoryIDs": list(advisories)} if advisories else {})


def td_report(
    *,
    with_1_5=False,
    tee_tcb_svn=bytes([5, 1, 3]) + bytes(13),
    mr_seam=b"\x5e" * 48,
    mr_signer_seam=bytes(48),
    seam_attributes=bytes(8),
    td_attributes=bytes([0, 0, 0, 0x10]) + bytes(4),
    xfam=b"\xe7\x02\x06" + bytes(5),
    mr_td=b"\x7d" * 48,
    mr_config_id=bytes(48),
    mr_owner=bytes(48),
    mr_owner_config=bytes(48),
    rtmr0=b"\x70" * 48,
    rtmr1=b"\x71" * 48,
    rtmr2=b"\x72" * 48,
    rtmr3=b"\x73" * 48,
    report_data=bytes(range(64)),
    tee_tcb_svn2=bytes([5, 1, 3]) + bytes(13),
    mr_service_td=bytes(48),
):
    """Return 584 or 648 bytes of a TD report, laid out from the specification's table of offsets."""
    areas = bytearray(648 if with_1_5 else 584)
    for offset, value in (
        (0, tee_tcb_svn),
        (16, mr_seam),
        (64, mr_signer_seam),
        (112, seam_attributes),
        (120, td_attributes),
        (128, xfam),
        (136, mr_td),
        (184, mr_config_id),
        (232, mr_owner),
        (280, mr_owner_config),
        (328, rtmr0),
        (376, rtmr1),
        (424, rtmr2),
        (472, rtmr3),
        (520, report_data),
        *(((584, tee_tcb_svn2), (600, mr_service_td)) if with_1_5 else ()),
    ):
        areas[offset : offset + len(value)] = value
    return bytes(areas)


def report(
    *,
    cpu_svn=bytes([10] * 16),
    misc_select=0,
    attributes=b"\x05" + bytes(15),
    mr_enclave=bytes(32),
    mr_signer=bytes(32),
    config_id=bytes(64),
    isv_prod_id=0,
    isv_svn=0,
    config_svn=0,
    isv_ext_prod_id=bytes(16),
    isv_family_id=bytes(16),
    report_data=bytes(64),
    reserved=0,
):
    """Return 384 bytes of an SGX report, laid out from the specification's table of offsets."""
    areas = bytearray(384)
    for offset, value in (
        (0, cpu_svn),
        (16, misc_select.to_bytes(4, "little")),
        (20, bytes([reserved])),
        (32, isv_ext_prod_id),
        (48, attributes),
        (64, mr_enclave),
        (128, mr_signer),
        (192, config_id),
        (256, isv_prod_id.to_bytes(2, "little")),
        (258, isv_svn.to_bytes(2, "little")),
        (260, config_svn.to_bytes(2, "little")),
        (304, isv_family_id),
        (320, report_data),
    ):
        areas[offset : offset + len(value)] = value
    return bytes(areas)
