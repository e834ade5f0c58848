"""Every reason for a refusal, raised by a platform that is sound but for one thing.

Each row: the expected code, what was broken, and the change. Tests are named after the threats they answer.
"""

import base64
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from strongroom.attestation import INTEL, Anchor, Collateral, EvidenceCode, EvidenceRefused, TcbStatus, verify
from strongroom.attestation.certificates import parse_certificate
from strongroom.attestation.codes import error_code, fix_of, meaning_of
from strongroom.attestation.pck import read_pck_claims
from strongroom.attestation.validity import TimeWithoutZone

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P384_KEY = ec.generate_private_key(ec.SECP384R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
DAY = timedelta(days=1)
MARKER = ("1.3.6.1.4.1.32473.20.1", b"\x0c\x09simulated", False)
UNKNOWN = "1.3.6.1.4.1.32473.99"


def change(**values):
    return lambda world: [setattr(world, name, value) for name, value in values.items()]


def recipe(role, **values):
    return lambda world: [setattr(world.recipes[role], name, value) for name, value in values.items()]


def dates(role, since, until):
    def changed(world):
        world.recipes[role].since, world.recipes[role].until = world.now + since, world.now + until

    return changed


def crl(which, **values):
    return lambda world: world.crls[which].update(values)


def crl_dates(which, since, until):
    return lambda world: world.crls[which].update(since=world.now + since, until=world.now + until)


def signed_json(document, **values):
    return lambda world: getattr(world, document).update(values)


def without(document, name):
    return lambda world: getattr(world, document).pop(name)


def window(document, since, until):
    def changed(world):
        stamps = ((world.now + moment).strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (since, until))
        getattr(world, document).update(zip(("issueDate", "nextUpdate"), stamps, strict=True))

    return changed


def level(document, index, **values):
    return lambda world: getattr(world, document)["tcbLevels"][index].update(values)


def edit(**parts):
    return lambda world: world.collateral_edits.update(parts)


def both(*changes):
    return lambda world: [changed(world) for changed in changes]


def refused(judge, world, code, **options):
    with pytest.raises(EvidenceRefused) as caught:
        judge(world, **options)
    assert caught.value.reason == EvidenceCode[code], caught.value.sentence
    assert caught.value.fix == fix_of(caught.value.reason)
    assert meaning_of(caught.value.reason).endswith(".")
    return caught.value


def table(*rows):
    return pytest.mark.parametrize(
        ("code", "broken"), [pytest.param(row[0], row[2], id=f"{row[0]}-{row[1]}") for row in rows]
    )


def test_the_little_world_is_sound_until_it_is_broken(judge, world):
    verdict = judge(world)
    assert verdict.status is TcbStatus.UP_TO_DATE
    assert verdict.fmspc == "F0A1B2C3D4E5"


@table(
    ("ROOT_UNTRUSTED", "wrong name", recipe("root", name="Root Authority")),
    ("ROOT_UNTRUSTED", "not self-signed", recipe("root", signed_by=OTHER_KEY)),
    ("ROOT_UNTRUSTED", "issued by another name", recipe("root", issuer_name="Somebody Else")),
    ("ROOT_UNTRUSTED", "not an authority", recipe("root", ca=False, path_length=None)),
    ("ROOT_UNTRUSTED", "path length too long", recipe("root", path_length=2)),
    ("ROOT_UNTRUSTED", "may not sign certificates", recipe("root", usage=("crl_sign",))),
    ("ROOT_UNTRUSTED", "unknown critical extension", recipe("root", extensions=[(UNKNOWN, b"\x05\x00", True)])),
    ("ROOT_EXPIRED", "expired", dates("root", -100 * DAY, -DAY)),
    ("ROOT_EXPIRED", "not yet valid", dates("root", DAY, 100 * DAY)),
    ("ROOT_REVOKED", "lists itself", crl("root", revoked=[1001])),
)
def test_sc_01_the_root_is_the_pinned_key_in_its_role(judge, world, lw, code, broken):
    anchor = Anchor.from_certificate(lw.LittleWorld().root_der())
    broken(world)
    refused(judge, world, code, anchors=[anchor])


def test_sc_01_another_roots_key_is_refused(judge, world):
    refused(judge, world, "ROOT_UNTRUSTED", anchors=[INTEL])


def test_sc_01_no_anchor_trusts_nothing(judge, world):
    refused(judge, world, "ROOT_UNTRUSTED", anchors=[])


def test_sc_02_simulated_evidence_under_the_default_anchor_has_its_own_code(judge, lw):
    world = lw.LittleWorld(prefix="Simulated SGX")
    assert judge(world).trust_domain == "simulated"
    world.recipes["root"].extensions = [MARKER]
    assert judge(world).trust_domain == "simulated"
    refused(judge, world, "SIMULATED_EVIDENCE", anchors=[INTEL])


def test_sc_02_a_marked_chain_below_another_simulated_root_is_just_untrusted(judge, world, lw):
    anchor = Anchor.from_certificate(world.root_der())
    world.recipes["root"].extensions = [MARKER]
    world.recipes["root"].key = lw.KEYS["other"]
    refused(judge, world, "ROOT_UNTRUSTED", anchors=[anchor])


@pytest.mark.parametrize("part", ["pck", "tcb", "qe"])
def test_id_13_a_marked_certificate_under_intels_own_root_is_simulated_evidence(world, shared_vectors, part):
    """Only Intel could sign such a chain, so it is put together here: the marker is refused before signatures are."""
    folder = shared_vectors / "dcap"
    name = "real-sgx-v3-c81a90ee-2025-08-15"
    entry = next(e for e in json.loads((folder / "index.json").read_text())["vectors"] if e["id"] == name)
    collateral = json.loads((folder / entry["collateral"]).read_text())
    quote = (folder / entry["quote"]).read_bytes()
    root = (folder / entry["root"]).read_bytes()
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(root) + b"-----END CERTIFICATE-----\n"
    for role in ("leaf", "signer"):
        world.recipes[role].extensions = [MARKER]
    if part == "pck":
        chain = world.quote()[436 + 576 + 2 + 32 + 6 :].rstrip(b"\0")
        world.cert_data = b"".join(block + b"-----END CERTIFICATE-----\n" for block in
                                   chain.split(b"-----END CERTIFICATE-----\n")[:2]) + pem  # fmt: skip
        quote = world.quote()
    else:
        signer = world.collateral()["tcb_info_issuer_chain"].split("-----END CERTIFICATE-----\n")[0]
        key = "tcb_info_issuer_chain" if part == "tcb" else "qe_identity_issuer_chain"
        collateral[key] = signer + "-----END CERTIFICATE-----\n" + pem.decode()
    at = datetime.fromtimestamp(entry["verification_time"], UTC)
    with pytest.raises(EvidenceRefused) as caught:
        verify(quote, Collateral(**collateral), anchors=[INTEL], at=at)
    assert caught.value.reason == EvidenceCode.SIMULATED_EVIDENCE


@table(
    ("PCK_CHAIN", "no root", change(pck_chain=("leaf", "ca"))),
    ("PCK_CHAIN", "four certificates", change(pck_chain=("leaf", "leaf", "ca", "root"))),
    ("PCK_CHAIN", "not PEM", change(cert_data=b"-----BEGIN NONSENSE-----")),
    ("PCK_CHAIN", "empty", change(cert_data=b"")),
    ("PCK_CHAIN", "RSA leaf", recipe("leaf", key=RSA_KEY)),
    ("PCK_CHAIN", "P-384 leaf", recipe("leaf", key=P384_KEY)),
    ("PCK_CHAIN", "RSA CA", recipe("ca", key=RSA_KEY)),
    ("PCK_CHAIN", "SHA-384 signature", recipe("leaf", digest=hashes.SHA384())),
    ("PCK_CHAIN", "leaf signed by RSA", recipe("leaf", signed_by=RSA_KEY)),
    ("PCK_CERT_CHAIN_UNTRUSTED", "ends elsewhere", change(pck_chain=("leaf", "ca", "signer"))),
    ("SGX_PCK_MISSING", "leaf of another name", recipe("leaf", name="PCK Certificate 2")),
    ("SGX_PCK_MISSING", "leaf of another prefix", recipe("leaf", name="=Simulated SGX PCK Certificate")),
    ("SGX_PCK_MISSING", "name that only contains the role", recipe("leaf", name="=An Intel SGX PCK Certificate")),
    ("INTERMEDIATE_CA", "CA of another name", recipe("ca", name="PCK Other CA")),
    ("INTERMEDIATE_CA", "not an authority", recipe("ca", ca=False, path_length=None)),
    ("INTERMEDIATE_CA", "path length 1", recipe("ca", path_length=1)),
    ("INTERMEDIATE_CA", "no path length", recipe("ca", path_length=None)),
    ("INTERMEDIATE_CA", "may not sign CRLs", recipe("ca", usage=("key_cert_sign",))),
    ("INTERMEDIATE_CA", "unknown critical extension", recipe("ca", extensions=[(UNKNOWN, b"\x05\x00", True)])),
    ("INTERMEDIATE_INVALID_ISSUER", "signed by another key", recipe("ca", signed_by=OTHER_KEY)),
    ("INTERMEDIATE_INVALID_ISSUER", "issued by another name", recipe("ca", issuer_name="Somebody Else")),
    ("PCK_INVALID_ISSUER", "signed by another key", recipe("leaf", signed_by=OTHER_KEY)),
    ("PCK_INVALID_ISSUER", "issued by another name", recipe("leaf", issuer_name="Somebody Else")),
    ("PCK_IS_CA", "leaf is an authority", recipe("leaf", ca=True)),
    ("PCK_IS_CA", "leaf may sign certificates", recipe("leaf", usage=("digital_signature", "key_cert_sign"))),
    ("INVALID_PCK_CERT", "leaf may not sign", recipe("leaf", usage=("key_agreement",))),
    ("INVALID_PCK_CERT", "unknown critical extension", recipe("leaf", extensions=[(UNKNOWN, b"\x05\x00", True)])),
)
def test_sc_03_the_pck_chain_has_three_certificates_in_their_roles(judge, world, code, broken):
    broken(world)
    refused(judge, world, code)


def test_sc_03_a_sha1_signature_is_refused(judge, world, lw):
    """`cryptography` no longer signs with SHA-1, so the algorithm identifier of a sound leaf is replaced."""
    sha1, sha256 = bytes.fromhex("300906072a8648ce3d0401"), bytes.fromhex("300a06082a8648ce3d040302")
    leaf = world.certificate("leaf").public_bytes(lw.serialization.Encoding.DER)
    outer = leaf[4:]
    tbs_size = int.from_bytes(outer[2:4], "big") + 4
    tbs, rest = outer[:tbs_size], outer[tbs_size:]
    assert rest.startswith(sha256)
    forged = lw.tlv(0x30, tbs + sha1 + rest[len(sha256) :])
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(forged) + b"-----END CERTIFICATE-----\n"
    world.cert_data = pem + b"".join(lw.pem(world.certificate(role)).encode() for role in ("ca", "root"))
    refused(judge, world, "PCK_CHAIN")


def sgx(**members):
    return lambda world: world.sgx.update({name.strip("_"): value for name, value in members.items()})


def tcb_member(arc, value):
    return lambda world: world.tcb.update({f"2.{arc}": value}) if value else world.tcb.pop(f"2.{arc}")


def octets(size):
    return bytes([0x04, size]) + bytes(size)


@table(
    ("INVALID_PCK_CERT", "no extension", change(sgx_extensions=0)),
    ("INVALID_PCK_CERT", "PPID too short", sgx(_1=octets(15))),
    ("INVALID_PCK_CERT", "PPID missing", sgx(_1=None)),
    ("INVALID_PCK_CERT", "PPID not octets", sgx(_1=b"\x02\x01\x01")),
    ("INVALID_PCK_CERT", "PCEID too long", sgx(_3=octets(3))),
    ("INVALID_PCK_CERT", "FMSPC too short", sgx(_4=octets(5))),
    ("INVALID_PCK_CERT", "SGX type 3", sgx(_5=b"\x0a\x01\x03")),
    ("INVALID_PCK_CERT", "SGX type an integer", sgx(_5=b"\x02\x01\x01")),
    ("INVALID_PCK_CERT", "instance id too long", sgx(_6=octets(17))),
    ("INVALID_PCK_CERT", "configuration not a sequence", sgx(_7=b"\x05\x00")),
    ("INVALID_PCK_CERT", "component missing", tcb_member(16, None)),
    ("INVALID_PCK_CERT", "component 256", tcb_member(3, b"\x02\x02\x01\x00")),
    ("INVALID_PCK_CERT", "component negative", tcb_member(3, b"\x02\x01\xff")),
    ("INVALID_PCK_CERT", "component not minimal", tcb_member(3, b"\x02\x02\x00\x05")),
    ("INVALID_PCK_CERT", "component oversized", tcb_member(3, b"\x02\x09" + b"\x01" * 9)),
    ("INVALID_PCK_CERT", "PCESVN 65536", tcb_member(17, b"\x02\x03\x01\x00\x00")),
    ("INVALID_PCK_CERT", "PCESVN missing", tcb_member(17, None)),
    ("INVALID_PCK_CERT", "CPUSVN too short", tcb_member(18, octets(15))),
    ("INVALID_PCK_CERT", "indefinite length", change(sgx_raw=b"\x30\x80\x00\x00")),
    ("INVALID_PCK_CERT", "length not minimal", change(sgx_raw=b"\x30\x81\x02\x30\x00")),
    ("INVALID_PCK_CERT", "empty", change(sgx_raw=b"")),
    ("INVALID_PCK_CERT", "empty sequence", change(sgx_raw=b"\x30\x00")),
)
def test_sc_04_the_sgx_extension_is_complete_and_strict(judge, world, code, broken):
    broken(world)
    refused(judge, world, code)


def test_sc_04_bytes_after_the_sgx_extension_are_refused(judge, world):
    world.sgx_raw = world.sgx_value() + b"\0"
    refused(judge, world, "INVALID_PCK_CERT")


def test_sc_04_a_component_given_twice_is_refused(judge, world, lw):
    again = lw.member("2.3", lw.integer(10))
    members = b"".join(lw.member(arc, value) for arc, value in world.tcb.items())
    world.sgx["2"] = lw.tlv(0x30, members + again)
    refused(judge, world, "INVALID_PCK_CERT")


def test_sc_04_a_second_sgx_extension_is_refused(judge, world, lw):
    """`cryptography` refuses to write an extension twice, so the second is added to the signed leaf by hand."""
    leaf = world.certificate("leaf").public_bytes(lw.serialization.Encoding.DER)
    entry = lw.tlv(0x30, lw.oid(lw.SGX) + lw.tlv(0x04, world.sgx_value()))
    assert leaf.count(entry) == 1
    tbs_body = _content(_content(leaf)[: _size(_content(leaf))])
    start = tbs_body.rindex(b"\xa3\x82")
    grown = lw.tlv(0xA3, lw.tlv(0x30, _content(_content(tbs_body[start:])) + entry))
    tail = _content(leaf)[_size(_content(leaf)) :]
    doubled = parse_certificate(lw.tlv(0x30, lw.tlv(0x30, tbs_body[:start] + grown) + tail))
    assert len(doubled.sgx_extensions) == 2
    with pytest.raises(EvidenceRefused, match="2 SGX extensions") as caught:
        read_pck_claims(doubled)
    assert caught.value.reason == EvidenceCode.INVALID_PCK_CERT


def _size(element):
    return 4 + int.from_bytes(element[2:4], "big")


def _content(element):
    assert element[1] == 0x82
    return element[4 : _size(element)]


@table(
    ("INVALID_QE_REPORT_SIGNATURE", "signed by another key", change(qe_report_key=OTHER_KEY)),
    ("INVALID_QE_REPORT_DATA", "another hash", change(qe_report_data=bytes(64))),
    ("UNSUPPORTED_QUOTE_FORMAT", "key not on the curve", change(attestation_point=b"\x11" * 64)),
    ("INVALID_QUOTE_SIGNATURE", "another key's point", change(attestation_point=None, attestation_key=OTHER_KEY)),
)
def test_sc_05_sc_06_platform_enclave_and_key_sign_in_turn(judge, world, lw, code, broken):
    broken(world)
    if code == "INVALID_QUOTE_SIGNATURE":
        world.attestation_point = lw.raw_point(lw.KEYS["attestation"])
    refused(judge, world, code)


def test_ev_12_the_upper_half_of_the_qe_report_data_must_be_zero(judge, world, lw):
    digest = lw.hashlib.sha256(lw.raw_point(world.attestation_key) + world.qe_auth).digest()
    world.qe_report_data = digest + bytes(32)
    judge(world)
    world.qe_report_data = digest + bytes(31) + b"\x01"
    refused(judge, world, "INVALID_QE_REPORT_DATA")


@pytest.mark.parametrize("size", [0, 1, 32, 64, 65535 - 9000])
def test_sc_05_every_length_of_authentication_data_is_legal(judge, world, size):
    world.qe_auth = bytes(size)
    assert judge(world).status is TcbStatus.UP_TO_DATE


@table(
    ("TCB_SIGNING_CHAIN", "signer alone", change(tcb_chain=("signer",))),
    ("TCB_SIGNING_CHAIN", "three certificates", change(tcb_chain=("leaf", "ca", "root"))),
    ("TCB_SIGNING_CHAIN", "not PEM", edit(tcb_info_issuer_chain="none")),
    ("TCB_SIGNING_CHAIN", "signer on RSA", recipe("signer", signed_by=RSA_KEY)),
    ("TCB_SIGNING_CHAIN_UNTRUSTED", "ends elsewhere", change(tcb_chain=("signer", "ca"))),
    ("TCB_SIGNING_CHAIN_UNTRUSTED", "identity chain ends elsewhere", change(qe_chain=("signer", "ca"))),
    ("TCB_SIGNING_CERT_MISSING", "another name", recipe("signer", name="TCB Signer")),
    ("TCB_SIGNING_CERT_MISSING", "signed by the PCK CA's certificate", change(tcb_chain=("ca", "root"))),
    ("TCB_SIGNING_CERT_MISSING", "is an authority", recipe("signer", ca=True)),
    ("TCB_SIGNING_CERT_MISSING", "may not sign", recipe("signer", usage=("key_agreement",))),
    ("TCB_SIGNING_INVALID_ISSUER", "signed by another key", recipe("signer", signed_by=OTHER_KEY)),
    ("TCB_SIGNING_INVALID_ISSUER", "issued by another name", recipe("signer", issuer_name="Somebody Else")),
    ("TCB_SIGNING_INVALID_ISSUER", "issued by the PCK CA", recipe("signer", issuer="ca")),
    ("TCB_SIGNING_EXPIRED", "expired", dates("signer", -100 * DAY, -DAY)),
    ("TCB_SIGNING_EXPIRED", "not yet valid", dates("signer", DAY, 100 * DAY)),
    ("TCB_SIGNING_REVOKED", "revoked", crl("root", revoked=[1004])),
)
def test_sc_07_reference_data_are_signed_by_the_tcb_signing_role_alone(judge, world, lw, code, broken):
    anchor = Anchor.from_certificate(lw.LittleWorld().root_der())
    broken(world)
    refused(judge, world, code, anchors=[anchor])


def test_sc_07_a_stolen_pck_key_cannot_sign_its_own_reference_data(judge, world, lw):
    world.tcb_chain = world.qe_chain = ("leaf", "ca", "root")
    world.tcb_signing_key = world.qe_signing_key = lw.KEYS["leaf"]
    refused(judge, world, "TCB_SIGNING_CHAIN")


@table(
    ("TCB_INFO_INVALID_SIGNATURE", "another key", change(tcb_signing_key=OTHER_KEY)),
    ("TCB_INFO_INVALID_SIGNATURE", "zero", edit(tcb_info_signature="00" * 64)),
    ("TCB_INFO_INVALID_SIGNATURE", "too short", edit(tcb_info_signature="00" * 63)),
    ("TCB_INFO_INVALID_SIGNATURE", "not hex", edit(tcb_info_signature="zz" * 64)),
    ("QE_IDENTITY_INVALID_SIGNATURE", "another key", change(qe_signing_key=OTHER_KEY)),
    ("QE_IDENTITY_INVALID_SIGNATURE", "empty", edit(qe_identity_signature="")),
)
def test_sc_08_reference_data_are_what_was_signed(judge, world, code, broken):
    broken(world)
    refused(judge, world, code)


@pytest.mark.parametrize("document", ["tcb_info", "qe_identity"])
def test_sc_08_one_more_space_breaks_the_signature(judge, world, document):
    text = world.collateral()[document]
    world.collateral_edits[document] = text.replace(",", ", ", 1)
    refused(judge, world, f"{document.upper()}_INVALID_SIGNATURE")


@table(
    ("TCB_INFO_MISMATCH", "another FMSPC", signed_json("tcb_info", fmspc="F0A1B2C3D4E6")),
    ("TCB_INFO_MISMATCH", "another PCEID", signed_json("tcb_info", pceId="0001")),
    ("TCB_TYPE", "type 1", signed_json("tcb_info", tcbType=1)),
    ("TCB_INFO_VERSION", "version 1", signed_json("tcb_info", version=1)),
    ("TCB_INFO_VERSION", "version 4", signed_json("tcb_info", version=4)),
    ("TCB_INFO_FORMAT", "SGX info with a TDX module", signed_json("tcb_info", tdxModule={})),
    ("TCB_INFO_FORMAT", "TDX info without a module", signed_json("tcb_info", id="TDX")),
    ("TCB_INFO_FORMAT", "version 2 for TDX", signed_json("tcb_info", id="TDX", version=2)),
    ("TCB_INFO_FORMAT", "another TEE", signed_json("tcb_info", id="SEV")),
)
def test_sc_09_the_tcb_info_is_for_this_platform(judge, world, code, broken):
    broken(world)
    refused(judge, world, code)


def test_sc_09_tdx_info_does_not_judge_an_sgx_quote(judge, world):
    module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
    world.tcb_info.update(id="TDX", tdxModule=module, tdxModuleIdentities=[])
    for tcb_level in world.tcb_info["tcbLevels"]:
        tcb_level["tcb"]["tdxtcbcomponents"] = [{"svn": 0}] * 16
    refused(judge, world, "TCB_INFO_MISMATCH")


@table(
    ("QE_IDENTITY_MISMATCH", "for TDX", signed_json("qe_identity", id="TD_QE")),
    ("QE_IDENTITY_MISMATCH", "for the QvE", signed_json("qe_identity", id="QVE")),
    ("QE_IDENTITY_MISMATCH", "version 3", signed_json("qe_identity", version=3)),
    ("QE_IDENTITY_MISMATCH", "another signer", signed_json("qe_identity", mrsigner="9F" * 32)),
    ("QE_IDENTITY_MISMATCH", "another product", signed_json("qe_identity", isvprodid=2)),
    ("QE_IDENTITY_MISMATCH", "other attributes", signed_json("qe_identity", attributes="15" + "00" * 15)),
    ("QE_IDENTITY_MISMATCH", "misc_select", signed_json("qe_identity", miscselect="01000000")),
    ("QE_IDENTITY_MISMATCH", "debug", lambda world: world.qe_fields.update(attributes=b"\x17" + bytes(15))),
)
def test_sc_10_the_quoting_enclave_is_the_one_described(judge, world, code, broken):
    broken(world)
    refused(judge, world, code)


def test_sc_10_misc_select_is_compared_in_report_order(judge, world):
    world.qe_fields["misc_select"] = 1
    world.qe_identity["miscselect"] = "00000001"
    refused(judge, world, "QE_IDENTITY_MISMATCH")
    world.qe_identity["miscselect"] = "01000000"
    assert judge(world).status is TcbStatus.UP_TO_DATE


@table(
    ("CRL_MISSING", "root CRL", edit(root_ca_crl="")),
    ("CRL_MISSING", "PCK CRL", edit(pck_crl="")),
    ("CRL_UNKNOWN_ISSUER", "root CRL of the CA", crl("root", issuer="ca")),
    ("CRL_UNKNOWN_ISSUER", "PCK CRL of the root", crl("pck", issuer="root")),
    ("CRL_INVALID_SIGNATURE", "root CRL", crl("root", key=OTHER_KEY)),
    ("CRL_INVALID_SIGNATURE", "PCK CRL", crl("pck", key=OTHER_KEY)),
    ("MALFORMED", "no CRL number", crl("pck", number=None)),
    ("MALFORMED", "no authority key", crl("root", aki=False)),
    ("MALFORMED", "no hex", edit(pck_crl="xx")),
    ("MALFORMED", "no DER", edit(root_ca_crl="00")),
    ("INTERMEDIATE_REVOKED", "CA revoked", crl("root", revoked=[1002])),
    ("PCK_REVOKED", "leaf revoked", crl("pck", revoked=[55, 1003])),
)
def test_sc_11_both_revocation_lists_are_there_and_asked(judge, world, code, broken):
    broken(world)
    refused(judge, world, code)


@table(
    ("CRL_EXPIRED", "root CRL expired", crl_dates("root", -30 * DAY, -DAY)),
    ("CRL_EXPIRED", "root CRL of tomorrow", crl_dates("root", DAY, 30 * DAY)),
    ("CRL_EXPIRED", "PCK CRL expired", crl_dates("pck", -30 * DAY, -DAY)),
    ("CRL_EXPIRED", "PCK CRL of tomorrow", crl_dates("pck", DAY, 30 * DAY)),
    ("TCB_INFO_EXPIRED", "expired", window("tcb_info", -31 * DAY, -DAY)),
    ("TCB_INFO_EXPIRED", "of tomorrow", window("tcb_info", DAY, 31 * DAY)),
    ("QE_IDENTITY_EXPIRED", "expired", window("qe_identity", -31 * DAY, -DAY)),
    ("QE_IDENTITY_EXPIRED", "of tomorrow", window("qe_identity", DAY, 31 * DAY)),
    ("PCK_CHAIN_EXPIRED", "leaf expired", dates("leaf", -100 * DAY, -DAY)),
    ("PCK_CHAIN_EXPIRED", "leaf of tomorrow", dates("leaf", DAY, 100 * DAY)),
    ("PCK_CHAIN_EXPIRED", "CA expired", dates("ca", -100 * DAY, -DAY)),
    ("PCK_CHAIN_EXPIRED", "CA of tomorrow", dates("ca", DAY, 100 * DAY)),
)
def test_sc_12_both_ends_of_every_date_count(judge, world, code, broken):
    broken(world)
    refused(judge, world, code)


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(seconds=1)])
def test_sc_12_the_last_second_counts_and_the_next_does_not(judge, world, offset):
    at = world.crls["root"]["until"] + offset
    if offset:
        refused(judge, world, "CRL_EXPIRED", at=at)
    else:
        assert judge(world, at=at).earliest_expiration == at


def text(document, old, new):
    def changed(world):
        compact = json.dumps(getattr(world, document), separators=(",", ":"))
        assert old in compact
        setattr(world, f"{document}_text", compact.replace(old, new, 1))

    return changed


@table(
    ("TCB_INFO_FORMAT", "fifteen components", text("tcb_info", '{"svn":10},', "")),
    ("TCB_INFO_FORMAT", "component 256", text("tcb_info", '"svn":10', '"svn":256')),
    ("TCB_INFO_FORMAT", "component negative", text("tcb_info", '"svn":10', '"svn":-1')),
    ("TCB_INFO_FORMAT", "component a string", text("tcb_info", '"svn":10', '"svn":"10"')),
    ("TCB_INFO_FORMAT", "component a fraction", text("tcb_info", '"svn":10', '"svn":10.0')),
    ("TCB_INFO_FORMAT", "component true", text("tcb_info", '"svn":10', '"svn":true')),
    ("TCB_INFO_FORMAT", "component NaN", text("tcb_info", '"svn":10', '"svn":NaN')),
    ("TCB_INFO_FORMAT", "svn twice", text("tcb_info", '"svn":10', '"svn":10,"svn":10')),
    ("TCB_INFO_FORMAT", "bytes after the end", text("tcb_info", "]}", "]} x")),
    ("TCB_INFO_FORMAT", "no levels", signed_json("tcb_info", tcbLevels=[])),
    ("TCB_INFO_FORMAT", "levels no list", signed_json("tcb_info", tcbLevels={})),
    ("TCB_INFO_FORMAT", "a level no object", signed_json("tcb_info", tcbLevels=[1])),
    ("TCB_INFO_FORMAT", "no FMSPC", without("tcb_info", "fmspc")),
    ("TCB_INFO_FORMAT", "FMSPC too short", signed_json("tcb_info", fmspc="F0A1B2C3D4")),
    ("TCB_INFO_FORMAT", "FMSPC with a space", signed_json("tcb_info", fmspc="F0 A1B2C3D4E")),
    ("TCB_INFO_FORMAT", "FMSPC a number", signed_json("tcb_info", fmspc=7)),
    ("TCB_INFO_FORMAT", "date with an offset", signed_json("tcb_info", issueDate="2026-05-31T12:00:00+00:00")),
    ("TCB_INFO_FORMAT", "date that does not exist", signed_json("tcb_info", issueDate="2026-02-30T12:00:00Z")),
    ("TCB_INFO_FORMAT", "advisories no strings", level("tcb_info", 0, advisoryIDs=[1])),
    ("TCB_INFO_FORMAT", "an endless advisory", level("tcb_info", 0, advisoryIDs=["x" * 1000])),
    ("TCB_INFO_FORMAT", "not an object", change(tcb_info_text="[]")),
    ("TCB_INFO_FORMAT", "not JSON", change(tcb_info_text="{")),
    ("TCB_INFO_FORMAT", "nested too deeply", change(tcb_info_text="[" * 40 + "]" * 40)),
    ("TCB_UNRECOGNIZED_STATUS", "TCB info", level("tcb_info", 0, tcbStatus="Fine")),
    ("TCB_UNRECOGNIZED_STATUS", "a level nobody reaches", level("tcb_info", 1, tcbStatus="uptodate")),
    ("TCB_UNRECOGNIZED_STATUS", "QE identity", level("qe_identity", 0, tcbStatus="TDRelaunchAdvised")),
    ("MALFORMED", "identity not JSON", change(qe_identity_text="{")),
    ("MALFORMED", "identity without levels", signed_json("qe_identity", tcbLevels=[])),
    ("MALFORMED", "identity with a wrong mask", signed_json("qe_identity", attributesMask="FF")),
    ("MALFORMED", "identity without a signer", without("qe_identity", "mrsigner")),
    ("MALFORMED", "issuer chain of the PCK CRL", edit(pck_crl_issuer_chain="")),
    ("MALFORMED", "lone surrogate", edit(tcb_info="\ud800")),
    ("TOO_LARGE", "TCB info", edit(tcb_info=" " * (1024 * 1024 + 1))),
    ("TOO_LARGE", "CRL", edit(pck_crl="0" * (1024 * 1024 + 1))),
    ("TOO_LARGE", "chain", edit(tcb_info_issuer_chain=" " * (64 * 1024 + 1))),
)
def test_ev_08_signed_json_and_collateral_are_read_strictly(judge, world, code, broken):
    broken(world)
    refused(judge, world, code)


@pytest.mark.parametrize(
    "bomb",
    [
        change(tcb_info_text='{"a":' * 30 + "[" + "1," * 400_000 + "1]" + "}" * 30),
        change(qe_identity_text="[" * 1_000_000),
        change(tcb_info_text='{"version":' + "9" * 1_000_000 + "}"),
        edit(root_ca_crl=(b"\x30\x83\x07\xa1\x1e" + b"\x31\x00" * 249_999).hex()),
        edit(pck_crl_issuer_chain="-----BEGIN CERTIFICATE-----\n" + "MIIB" * 16_000),
    ],
    ids=["wide JSON", "deep JSON", "long number", "wide DER", "endless PEM"],
)
def test_ev_07_bombs_are_refused_within_a_second(judge, world, bomb):
    bomb(world)
    started = time.process_time()
    with pytest.raises(EvidenceRefused):
        judge(world)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("document", ["tcb_info", "qe_identity"])
def test_ev_08_two_equal_levels_are_refused(judge, world, document):
    levels = getattr(world, document)["tcbLevels"]
    levels.append({**levels[0], "tcbStatus": "Revoked"})
    refused(judge, world, "TCB_INFO_FORMAT" if document == "tcb_info" else "MALFORMED")


def test_members_that_intel_may_add_are_ignored(judge, world):
    world.tcb_info["somethingNew"] = {"a": [1]}
    world.qe_identity["tcbLevels"][0]["note"] = "new"
    world.sgx["8"] = b"\x05\x00"
    assert judge(world).status is TcbStatus.UP_TO_DATE


def test_the_first_failure_in_the_order_decides(judge, world):
    """Broken everywhere: the codes come in the order of the specification as one after the other is repaired."""
    faults = [
        ("CRL_EXPIRED", crl_dates("root", -30 * DAY, -DAY), crl_dates("root", -DAY, 29 * DAY)),
        ("TCB_SIGNING_EXPIRED", dates("signer", -9 * DAY, -DAY), dates("signer", -DAY, 9 * DAY)),
        ("TCB_INFO_EXPIRED", window("tcb_info", -31 * DAY, -DAY), window("tcb_info", -DAY, 29 * DAY)),
        ("QE_IDENTITY_EXPIRED", window("qe_identity", -31 * DAY, -DAY), window("qe_identity", -DAY, 29 * DAY)),
        ("SGX_PCK_MISSING", recipe("leaf", name="Leaf"), recipe("leaf", name="PCK Certificate")),
        ("PCK_CHAIN_EXPIRED", dates("leaf", -9 * DAY, -DAY), dates("leaf", -DAY, 9 * DAY)),
        ("CRL_EXPIRED", crl_dates("pck", -30 * DAY, -DAY), crl_dates("pck", -DAY, 29 * DAY)),
        ("PCK_REVOKED", crl("pck", revoked=[1003]), crl("pck", revoked=[])),
        ("INVALID_PCK_CERT", sgx(_4=octets(5)), sgx(_4=b"\x04\x06" + bytes.fromhex("f0a1b2c3d4e5"))),
        ("TCB_INFO_MISMATCH", signed_json("tcb_info", pceId="0009"), signed_json("tcb_info", pceId="0000")),
        ("INVALID_QE_REPORT_SIGNATURE", change(qe_report_key=OTHER_KEY), change(qe_report_key=None)),
        ("INVALID_QE_REPORT_DATA", change(qe_report_data=bytes(64)), change(qe_report_data=None)),
        ("QE_IDENTITY_MISMATCH", signed_json("qe_identity", id="QVE"), signed_json("qe_identity", id="QE")),
    ]
    for _, broken, _ in faults:
        broken(world)
    for code, _, repaired in faults:
        refused(judge, world, code)
        repaired(world)
    assert judge(world).status is TcbStatus.UP_TO_DATE


def test_a_time_without_a_zone_is_no_time(judge, world):
    with pytest.raises(TimeWithoutZone) as caught:
        judge(world, at=world.now.replace(tzinfo=None))
    assert caught.value.code == "SR-TIME-ZONE"


def test_codes_are_spelled_for_machines():
    assert EvidenceRefused("…", reason=EvidenceCode.PCK_REVOKED).code == "SR-PCK-REVOKED"
    assert error_code(EvidenceCode.MALFORMED) == "SR-EVIDENCE-MALFORMED"
    assert error_code(EvidenceCode.TOO_LARGE) == "SR-EVIDENCE-TOO-LARGE"
    assert {entry.code for entry in EvidenceRefused.entries()} == {error_code(code) for code in EvidenceCode}


def test_both_ways_to_write_a_pem_are_read(judge, world):
    for name, value in world.collateral().items():
        if name.endswith("chain"):
            world.collateral_edits[name] = value.replace("\n", "\r\n") + "\r\n"
    assert judge(world).status is TcbStatus.UP_TO_DATE


def test_an_expected_fault_still_lets_the_anchor_speak(world, lw):
    anchors = [INTEL, Anchor.from_certificate(world.root_der())]
    verdict = verify(world.quote(), Collateral(**world.collateral()), anchors=anchors, at=world.now)
    assert verdict.trust_domain == "simulated"
    assert verdict.root_key_id == anchors[1].root_key_id
