"""Intel's certificates that come with the program: they are what they say, and nothing else is spared a check."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.attestation import INTEL, Anchor, Collateral, EvidenceRefused, TrustDomain, chain, collateral, verify
from strongroom.attestation.anchors import INTEL_ROOT_KEY
from strongroom.attestation.chain import check_signer, find_root
from strongroom.attestation.codes import EvidenceCode
from strongroom.attestation.collateral import CollateralParts
from strongroom.attestation.crl import Crl
from strongroom.attestation.intel_certificates import INTEL_CERTIFICATES, signed_by_intel

BY_NAME = {certificate.common_name: certificate for certificate in INTEL_CERTIFICATES.values()}
ROOT, SIGNER = BY_NAME["Intel SGX Root CA"], BY_NAME["Intel SGX TCB Signing"]
NOW = datetime(2026, 6, 1, tzinfo=UTC)
EMPTY = Crl(what="root CRL", signed=b"", signature=b"", issuer=ROOT.subject, this_update=NOW, next_update=NOW,
            number=1, revoked=frozenset())  # fmt: skip


def test_they_are_root_both_pck_authorities_and_the_tcb_signer():
    assert sorted(BY_NAME) == [
        "Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA", "Intel SGX Root CA", "Intel SGX TCB Signing",
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_another_library_finds_intels_signature_on_each(name):
    found = x509.load_der_x509_certificate(BY_NAME[name].encoded)
    root = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), INTEL_ROOT_KEY)
    root.verify(found.signature, found.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
    assert signed_by_intel(BY_NAME[name], INTEL_ROOT_KEY)


def test_no_other_key_and_no_other_bytes_are_spared_the_check(lw):
    changed = replace(SIGNER, encoded=SIGNER.encoded[:-1] + bytes([SIGNER.encoded[-1] ^ 1]))
    assert not signed_by_intel(changed, INTEL_ROOT_KEY)
    assert not signed_by_intel(SIGNER, b"\4" + lw.raw_point(lw.KEYS["root"]))


def judged(signer, root_crl=EMPTY, *, at=NOW, anchor=INTEL):
    root = find_root(((ROOT,),), [anchor], at=at)
    return check_signer((signer, ROOT), root, root_crl, at=at)


def test_sc_11_revocation_counts_for_them_too():
    assert judged(SIGNER)[0] is SIGNER
    with pytest.raises(EvidenceRefused) as refused:
        judged(SIGNER, replace(EMPTY, revoked=frozenset({SIGNER.serial})))
    assert refused.value.reason is EvidenceCode.TCB_SIGNING_REVOKED


@pytest.mark.parametrize("year", [2024, 2033])
def test_sc_12_dates_count_for_them_too(year):
    with pytest.raises(EvidenceRefused) as refused:
        judged(SIGNER, at=datetime(year, 6, 1, tzinfo=UTC))
    assert refused.value.reason is EvidenceCode.TCB_SIGNING_EXPIRED


def test_sc_01_they_add_no_anchor(lw):
    key = b"\4" + lw.raw_point(lw.KEYS["root"])
    simulated = Anchor(domain=TrustDomain.SIMULATED, public_key=key, cn_prefix="Intel SGX")
    with pytest.raises(EvidenceRefused) as refused:
        judged(SIGNER, anchor=simulated)
    assert refused.value.reason is EvidenceCode.ROOT_UNTRUSTED


def test_a_forged_signer_of_their_name_is_refused(lw):
    world = lw.LittleWorld()
    forged = CollateralParts(Collateral(**world.collateral())).chain("tcb_info_issuer_chain", EvidenceCode.MALFORMED)[0]
    assert forged.common_name == SIGNER.common_name
    with pytest.raises(EvidenceRefused) as refused:
        judged(replace(forged, issuer=ROOT.subject))
    assert refused.value.reason is EvidenceCode.TCB_SIGNING_INVALID_ISSUER


def test_real_evidence_gets_the_same_verdicts_without_them(shared_vectors, monkeypatch):
    index = json.loads((shared_vectors / "dcap" / "index.json").read_text(encoding="utf-8"))["vectors"]
    entries = [entry for entry in index if entry["kind"] in {"real", "real-mutated"}]

    def outcomes():
        found = []
        for entry in entries:
            folder = shared_vectors / "dcap"
            at = datetime.fromtimestamp(entry["verification_time"], UTC)
            parts = Collateral.from_json((folder / entry["collateral"]).read_bytes())
            try:
                found.append(verify((folder / entry["quote"]).read_bytes(), parts, anchors=[INTEL], at=at))
            except EvidenceRefused as refusal:
                found.append(refusal.reason)
        return found

    shipped = outcomes()
    monkeypatch.setattr(collateral, "INTEL_CERTIFICATES", {})
    monkeypatch.setattr(chain, "signed_by_intel", lambda _certificate, _point: False)
    assert outcomes() == shipped
