"""SIGSTRUCT: what Gramine's signer wrote is read and holds; no byte of it can be changed (threat ID-15)."""

import hashlib
from dataclasses import replace
from datetime import date

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.errors import StrongroomError
from strongroom.gramine import sigstruct

IDENTITY = sigstruct.Identity(mr_enclave=bytes(range(32)), date=date(2024, 12, 31), isv_prod_id=7, isv_svn=65535)


@pytest.fixture(scope="module")
def signed(signing_key):
    return sigstruct.sign(IDENTITY, signing_key)


def changed(data: bytes, offset: int, value: int | None = None) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1 if value is None else value]) + data[offset + 1 :]


def test_what_gramines_signer_wrote_is_read_and_holds(sig_folder, sig_cases):
    for case in sig_cases:
        found = sigstruct.parse((sig_folder / case["sig"]).read_bytes())
        found.check()
        assert found.mr_enclave.hex() == case["mr_enclave"]
        assert found.mr_signer.hex() == case["mr_signer"]
        assert (found.isv_prod_id, found.isv_svn) == (case["isv_prod_id"], case["isv_svn"])
        assert found.debug is case["debug"]
        assert hex(found.attributes) == case["attribute_flags"]
        assert hex(found.xfrm) == case["attribute_xfrms"]
        assert hex(found.xfrm_mask) == case["xfrm_mask"]
        assert hex(found.misc_select) == case["misc_select"]
        assert found.date == date(2023, 4, 14)


def test_what_was_signed_is_read_back(signed, signing_key):
    found = sigstruct.parse(signed)
    found.check()
    modulus = signing_key.public_key().public_numbers().n.to_bytes(384, "little")
    assert found.mr_signer == hashlib.sha256(modulus).digest()
    assert {name: getattr(found, name) for name in sigstruct.Identity.__dataclass_fields__} == {
        name: getattr(IDENTITY, name) for name in sigstruct.Identity.__dataclass_fields__
    }


def test_id_15_no_byte_of_a_sigstruct_can_be_changed(signed):
    offsets = [*range(128), *range(128, 900, 16), *range(900, 1040), *range(1040, 1808, 16), 511, 899, 1423, 1807]
    for offset in offsets:
        with pytest.raises(StrongroomError) as caught:
            sigstruct.parse(changed(signed, offset)).check()
        assert caught.value.code in {"SR-SIGSTRUCT", "SR-SIGSTRUCT-SIGNATURE", "SR-SIGSTRUCT-Q"}, offset


@pytest.mark.parametrize(
    ("offset", "value"), [(0, 7), (16, 1), (20, 0x32), (22, 0x2A), (21, 0), (24, 0), (44, 1), (127, 1), (512, 17),
                          (910, 1), (992, 1), (1028, 1), (1039, 1)],
)  # fmt: skip
def test_id_15_a_constant_reserved_byte_or_date_that_is_wrong_is_named(signed, offset, value):
    with pytest.raises(sigstruct.SigstructMalformed) as caught:
        sigstruct.parse(changed(signed, offset, value))
    assert caught.value.code == "SR-SIGSTRUCT"


@pytest.mark.parametrize("offset", [40, 128, 516, 900, 928, 960, 1024, 1027])
def test_id_15_a_changed_value_key_or_signature_is_called_forged(signed, offset):
    with pytest.raises(sigstruct.SigstructForged) as caught:
        sigstruct.parse(changed(signed, offset)).check()
    assert caught.value.code == "SR-SIGSTRUCT-SIGNATURE"


@pytest.mark.parametrize("offset", [1040, 1423, 1424, 1807])
def test_id_15_q1_and_q2_have_to_follow_from_the_signature(signed, offset):
    with pytest.raises(sigstruct.SigstructHelperWrong) as caught:
        sigstruct.parse(changed(signed, offset)).check()
    assert caught.value.code == "SR-SIGSTRUCT-Q"


def test_id_15_a_signature_moved_by_the_modulus_is_out_of_range(signed):
    found = sigstruct.parse(signed)
    with pytest.raises(sigstruct.SigstructForged):
        replace(found, signature=found.signature + found.modulus).check()


@pytest.mark.parametrize("modulus", [0, 1, 1 << 3071, (1 << 3072) - 1])
def test_id_15_a_made_up_modulus_is_no_signer(signed, modulus):
    with pytest.raises(sigstruct.SigstructForged):
        replace(sigstruct.parse(signed), modulus=modulus, signature=1).check()


@pytest.mark.parametrize("size", [0, 1, 1807, 1809, 4096])
def test_another_length_is_no_sigstruct(signed, size):
    with pytest.raises(sigstruct.SigstructMalformed, match="1808"):
        sigstruct.parse((signed * 3)[:size])


def test_id_15_a_mask_that_leaves_debug_to_the_host_permits_debug(signing_key):
    loose = replace(IDENTITY, attributes_mask=sigstruct.ALL_FLAGS & ~sigstruct.ATTRIBUTE_DEBUG)
    found = sigstruct.parse(sigstruct.sign(loose, signing_key))
    assert not found.debug
    assert found.permits_debug
    assert not IDENTITY.permits_debug
    assert replace(IDENTITY, attributes=6).permits_debug


def test_only_rsa_3072_with_exponent_3_signs():
    for key in (rsa.generate_private_key(65537, 3072), rsa.generate_private_key(3, 2048)):
        with pytest.raises(ValueError, match="exponent 3"):
            sigstruct.sign(IDENTITY, key)


def test_the_signer_of_a_public_key_is_the_signer_in_what_it_signs(signing_key, signed):
    pem = signing_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert sigstruct.mr_signer_of(pem) == sigstruct.parse(signed).mr_signer


def test_a_key_that_cannot_sign_enclaves_is_no_signer():
    other = rsa.generate_private_key(65537, 2048).public_key()
    for pem in (b"", b"text", other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)):
        with pytest.raises(sigstruct.SignerKeyUnusable) as caught:
            sigstruct.mr_signer_of(pem)
        assert caught.value.code == "SR-SIGNER-KEY"
