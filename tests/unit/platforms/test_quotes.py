"""Quotes and collateral of a world under two verifiers: ours and `dcap-qvl`, which share no code."""

import struct
from dataclasses import replace
from datetime import timedelta

import dcap_qvl
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.attestation import INTEL, Anchor, EvidenceRefused, TcbStatus, TrustDomain, parse_quote, verify
from strongroom.platforms.simulated import EnclaveIdentity, Hardware, Rehearsal, Revocation, World
from strongroom.platforms.simulated.signatures import raw_signature

REPORT_DATA = bytes(range(64))


@pytest.fixture
def quote(world, identity):
    return world.quote(identity, REPORT_DATA)


@pytest.fixture
def refused(world, anchors, second_opinion, now):
    """Hold that both verifiers refuse evidence, ours for `reason`; fresh collateral unless some is given."""

    def judge(quote, reason, collateral=None, at=now, rehearsal=None):
        collateral = collateral or world.collateral(at, rehearsal)
        assert code(quote, collateral, anchors, at) == reason
        with pytest.raises(ValueError, match=r"."):
            second_opinion(quote, collateral, at=at)

    return judge


def code(quote, collateral, anchors, at):
    with pytest.raises(EvidenceRefused) as refusal:
        verify(quote, collateral, anchors=anchors, at=at)
    return refusal.value.reason


def test_both_verifiers_accept_a_quote_of_a_healthy_platform(world, quote, identity, accepted, now):
    verdict = accepted(quote, world.collateral(now))
    assert verdict.status is TcbStatus.UP_TO_DATE
    assert verdict.trust_domain is TrustDomain.SIMULATED
    assert verdict.root_key_id == world.root_key_id
    assert verdict.fmspc == world.fmspc
    assert verdict.body.report_data == REPORT_DATA
    assert verdict.body.mr_enclave == identity.mr_enclave
    assert verdict.body.mr_signer == identity.mr_signer
    assert (verdict.body.isv_prod_id, verdict.body.isv_svn) == (3, 7)
    assert not verdict.debug


def test_the_layout_is_the_one_that_the_machine_announces(world, quote):
    parsed = parse_quote(quote)
    assert struct.unpack("<HHIHH", quote[:12]) == (3, 2, 0, world.hardware.qe_svn, world.hardware.pce_svn)
    assert parsed.body.cpu_svn == bytes(world.hardware.components)
    assert quote.endswith(b"-----END CERTIFICATE-----\n\0")
    assert 3000 < len(quote) < 5000


def test_id_13_a_verifier_that_holds_intels_root_alone_refuses(world, quote, now):
    collateral = world.collateral(now)
    assert code(quote, collateral, [INTEL], now) in {"ROOT_UNTRUSTED", "SIMULATED_EVIDENCE"}
    parsed = dcap_qvl.QuoteCollateralV3.from_json(collateral.to_json())
    with pytest.raises(ValueError, match=r"."):
        dcap_qvl.verify(quote, parsed, int(now.timestamp()))


def test_a_world_vouches_for_no_other_world(world, other_world, quote, second_opinion, now):
    foreign = [Anchor.from_certificate(other_world.root_der)]
    with pytest.raises(EvidenceRefused):
        verify(quote, world.collateral(now), anchors=foreign, at=now)
    with pytest.raises(ValueError, match=r"."):
        second_opinion(quote, world.collateral(now), root=other_world.root_der)
    both = [*foreign, Anchor.from_certificate(world.root_der)]
    with pytest.raises(EvidenceRefused):
        verify(quote, other_world.collateral(now), anchors=both, at=now)


def test_the_debug_bit_is_in_the_report_and_nowhere_else(world, identity, anchors, now):
    debug = replace(identity, debug=True)
    verdict = verify(world.quote(debug, REPORT_DATA), world.collateral(now), anchors=anchors, at=now)
    plain = verify(world.quote(identity, REPORT_DATA), world.collateral(now), anchors=anchors, at=now)
    assert verdict.debug
    assert verdict.body.attributes[0] == plain.body.attributes[0] | 2
    assert replace(verdict.body, attributes=plain.body.attributes) == plain.body


def test_each_enclave_has_its_own_attestation_key(world, identity):
    enclave = world.quoting_enclave()
    first, second = (parse_quote(enclave.quote(identity, REPORT_DATA)) for _ in range(2))
    assert first.attestation_key == second.attestation_key
    assert first.signature != second.signature
    assert parse_quote(world.quote(identity, REPORT_DATA)).attestation_key != first.attestation_key


def test_report_data_has_64_bytes(world, identity):
    with pytest.raises(ValueError, match="64 bytes"):
        world.quote(identity, bytes(63))


@pytest.mark.parametrize("ca", ["platform", "processor"])
def test_machines_of_both_pck_cas_are_accepted(tmp_path, now, second_opinion, ca):
    hardware = Hardware.draw(lambda size: bytes(range(size)), ca=ca)
    world = World.create(tmp_path / "world", now=now, hardware=hardware)
    quote, collateral = world.quote(identity_of(world), REPORT_DATA), world.collateral(now)
    assert second_opinion(quote, collateral, root=world.root_der) == ("UpToDate", [])
    verdict = verify(quote, collateral, anchors=[Anchor.from_certificate(world.root_der)], at=now)
    assert verdict.status is TcbStatus.UP_TO_DATE
    assert verdict.pck.sgx_type == (1 if ca == "platform" else 0)


def identity_of(world):
    return EnclaveIdentity(mr_enclave=bytes(32), mr_signer=world.mr_signer, isv_prod_id=0, isv_svn=0)


@pytest.mark.parametrize("status", [each for each in TcbStatus if "Relaunch" not in each and each != "Revoked"])
def test_a_rehearsed_status_comes_out_of_both_verifiers(world, quote, accepted, now, status):
    advisories = () if status == "UpToDate" else ("INTEL-SA-00615", "INTEL-SA-00657")
    verdict = accepted(quote, world.collateral(now, Rehearsal(status=status, advisories=advisories)))
    assert verdict.status == status
    assert verdict.advisories == advisories


def test_a_revoked_platform_is_a_claim_here_and_an_error_there(world, quote, anchors, second_opinion, now):
    collateral = world.collateral(now, Rehearsal(status=TcbStatus.REVOKED))
    assert verify(quote, collateral, anchors=anchors, at=now).status is TcbStatus.REVOKED
    with pytest.raises(ValueError, match=r"[Rr]evoked"):
        second_opinion(quote, collateral)


def test_a_rehearsed_quoting_enclave_converges(world, quote, accepted, now):
    rehearsal = Rehearsal(qe_status=TcbStatus.OUT_OF_DATE, qe_advisories=("INTEL-SA-00615",), qe_evaluation_number=16)
    verdict = accepted(quote, world.collateral(now, rehearsal))
    assert (verdict.status, verdict.qe_status) == (TcbStatus.OUT_OF_DATE, TcbStatus.OUT_OF_DATE)
    assert verdict.platform_status is TcbStatus.UP_TO_DATE
    assert (verdict.tcb_eval, verdict.qe_eval) == (17, 16)
    assert verdict.advisories == ("INTEL-SA-00615",)


@pytest.mark.parametrize(
    ("rehearsal", "reason"),
    [
        (Rehearsal(revoked=frozenset({Revocation.PCK})), "PCK_REVOKED"),
        (Rehearsal(revoked=frozenset({Revocation.PCK_CA})), "INTERMEDIATE_REVOKED"),
        (Rehearsal(revoked=frozenset({Revocation.TCB_SIGNER})), "TCB_SIGNING_REVOKED"),
        (Rehearsal(age=timedelta(days=31)), "TCB_INFO_EXPIRED"),
        (Rehearsal(age=timedelta(days=366)), "CRL_EXPIRED"),
        (Rehearsal(age=-timedelta(days=1)), "CRL_EXPIRED"),
        (Rehearsal(unsupported=True), "TCB_NOT_SUPPORTED"),
    ],
    ids=["PCK", "PCK CA", "TCB signer", "30 days", "a year", "from tomorrow", "no level"],
)
def test_what_is_rehearsed_is_refused_by_both_verifiers(quote, refused, rehearsal, reason):
    refused(quote, reason, rehearsal=rehearsal)


def test_certificates_run_out(quote, refused, now):
    refused(quote, "TCB_SIGNING_EXPIRED", at=now + timedelta(days=365 * 7))


FLIPS = {
    0: "UNSUPPORTED_QUOTE_VERSION",
    4: "V3_NOT_SGX",
    12: "UNKNOWN_QE_VENDOR",
    28: "INVALID_QUOTE_SIGNATURE",
    48 + 64: "INVALID_QUOTE_SIGNATURE",
    48 + 320: "INVALID_QUOTE_SIGNATURE",
    436: "INVALID_QUOTE_SIGNATURE",
    436 + 64: "INVALID_QE_REPORT_DATA",
    436 + 128: "INVALID_QE_REPORT_SIGNATURE",
    436 + 512: "INVALID_QE_REPORT_SIGNATURE",
    436 + 578: "INVALID_QE_REPORT_DATA",
}


@pytest.mark.parametrize(("offset", "reason"), FLIPS.items())
def test_one_flipped_bit_is_refused_by_both_verifiers(quote, refused, offset, reason):
    broken = bytearray(quote)
    broken[offset] ^= 0x80
    refused(bytes(broken), reason)


@pytest.mark.parametrize("length", [0, 47, 435, 1019])
def test_a_cut_quote_is_refused_by_both_verifiers(quote, refused, length):
    refused(quote[:length], "QUOTE_TRUNCATED")


def test_json_that_another_key_signed_is_refused_by_both_verifiers(world, quote, refused, now):
    collateral = world.collateral(now)
    forged = raw_signature(ec.generate_private_key(ec.SECP256R1()), collateral.tcb_info.encode()).hex()
    refused(quote, "TCB_INFO_INVALID_SIGNATURE", replace(collateral, tcb_info_signature=forged))
