"""Certificates of a world: the roles of Intel's hierarchy, and marks that make a mix-up impossible."""

import dcap_qvl
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from strongroom.platforms.simulated import MARK_OID, ORGANISATION, Hardware, World

INTEL_ROOT_KEY_ID = "46e403bd34f05a3f2817ab9badcaacc7ffc98e0f261008cd30dae936cace18d5dcf58eef31463613de1570d516200993"
SGX_EXTENSION = x509.ObjectIdentifier("1.2.840.113741.1.13.1")


@pytest.fixture(params=["root", "pck_ca", "pck", "tcb_signer"])
def certificate(request, world):
    return getattr(world.signers, request.param).certificate


def test_id_13_every_certificate_says_that_it_is_a_simulation(certificate):
    mark = certificate.extensions.get_extension_for_oid(MARK_OID)
    assert MARK_OID.dotted_string == "1.3.6.1.4.1.32473.20.1"
    assert not mark.critical
    assert mark.value.value == b"\x0c\x09simulated"
    for name in (certificate.subject, certificate.issuer):
        text = name.rfc4514_string()
        assert f"O={ORGANISATION}" in text
        assert "OU=SIMULATED - NOT A TEE" in text
        assert name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value.startswith("Simulated SGX ")
        assert "Intel" not in text


def test_id_13_no_world_has_intels_root_key(world, other_world):
    assert INTEL_ROOT_KEY_ID not in {world.root_key_id, other_world.root_key_id}


def test_every_certificate_names_its_issuer_byte_for_byte(world):
    signers = world.signers
    for child, parent in [("root", "root"), ("pck_ca", "root"), ("pck", "pck_ca"), ("tcb_signer", "root")]:
        lower, upper = getattr(signers, child).certificate, getattr(signers, parent).certificate
        lower.verify_directly_issued_by(upper)
        assert lower.issuer.public_bytes() == upper.subject.public_bytes()
        key_of_parent = upper.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_KEY_IDENTIFIER).value.digest
        found = lower.extensions.get_extension_for_oid(ExtensionOID.AUTHORITY_KEY_IDENTIFIER).value
        assert found.key_identifier == key_of_parent
        assert lower.extensions.get_extension_for_oid(ExtensionOID.CRL_DISTRIBUTION_POINTS)


@pytest.mark.parametrize(("role", "ca", "path_length"), [
    ("root", True, 1), ("pck_ca", True, 0), ("pck", False, None), ("tcb_signer", False, None),
])  # fmt: skip
def test_roles_are_those_of_the_real_hierarchy(world, role, ca, path_length):
    extensions = getattr(world.signers, role).certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert usage.critical
    assert (constraints.value.ca, constraints.value.path_length) == (ca, path_length)
    assert (usage.value.key_cert_sign, usage.value.crl_sign) == (ca, ca)
    assert (usage.value.digital_signature, usage.value.content_commitment) == (not ca, not ca)


def test_serial_numbers_differ(world):
    signers = world.signers
    serials = {
        each.certificate.serial_number for each in (signers.root, signers.pck_ca, signers.pck, signers.tcb_signer)
    }
    assert len(serials) == 4


def test_only_the_pck_leaf_carries_the_sgx_extension(certificate, world):
    found = [each for each in certificate.extensions if each.oid == SGX_EXTENSION]
    assert len(found) == (1 if certificate == world.signers.pck.certificate else 0)
    assert not any(each.critical for each in found)


@pytest.mark.parametrize("ca", ["platform", "processor"])
def test_another_parser_reads_the_same_machine(tmp_path, now, ca):
    hardware = Hardware(
        fmspc=bytes.fromhex("f00102030405"), ppid=b"SIM" + bytes(13), platform_instance_id=bytes(range(16)),
        qe_id=bytes(16), pce_id=b"\x01\x02", components=(0, 127, 128, 255, *range(12)), pce_svn=0x7F80, ca=ca,
    )  # fmt: skip
    world = World.create(tmp_path / "world", now=now, hardware=hardware)
    found = dcap_qvl.parse_pck_extension_from_pem(world.signers.pck.pem.encode())
    assert bytes(found.ppid) == hardware.ppid
    assert bytes(found.cpu_svn) == bytes(hardware.components)
    assert found.pce_svn == 0x7F80
    assert bytes(found.pce_id) == b"\x01\x02"
    assert bytes(found.fmspc) == hardware.fmspc
    assert found.sgx_type == (1 if ca == "platform" else 0)
    instance = found.platform_instance_id
    assert (bytes(instance) if instance is not None else None) == (bytes(range(16)) if ca == "platform" else None)
    assert bytes(found.get_value("1.2.840.113741.1.13.1.2.3")) in {b"\x80", b"\x00\x80"}
