"""The shared vectors: every quote gets exactly the verdict, status, claims and code expected."""

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.attestation import (
    INTEL,
    Anchor,
    Collateral,
    EvidenceRefused,
    TrustDomain,
    parse_quote,
    verify,
)
from strongroom.attestation.steps import STEPS

VECTORS = Path(
    os.environ.get("STRONGROOM_VECTORS", Path(__file__).resolve().parents[4] / "shared" / "vectors")
).joinpath("dcap")  # fmt: skip


def entries():
    index = VECTORS / "index.json"
    return json.loads(index.read_text(encoding="utf-8"))["vectors"] if index.is_file() else []


def parameters(*, judged):
    """Return the vectors with a verdict, or those to be parsed only."""
    chosen = [entry for entry in entries() if (entry["expected"]["verdict"] != "parse") == judged]
    return [pytest.param(entry, id=entry["id"]) for entry in chosen]


def judge(entry, anchors=None):
    root = Anchor.from_certificate((VECTORS / entry["root"]).read_bytes())
    return verify(
        (VECTORS / entry["quote"]).read_bytes(),
        Collateral.from_json((VECTORS / entry["collateral"]).read_bytes()),
        anchors=[root] if anchors is None else anchors,
        at=datetime.fromtimestamp(entry["verification_time"], UTC),
    )


@pytest.mark.parametrize("entry", parameters(judged=True))
def test_a_vector_gets_its_verdict(entry):
    expected = entry["expected"]
    if expected["verdict"] == "err":
        with pytest.raises(EvidenceRefused) as refused:
            judge(entry)
        assert refused.value.reason == expected["error"], refused.value.sentence
        assert refused.value.reason in STEPS[refused.value.step - 1].codes
        return
    seen = judge(entry).to_json_object()
    assert {name: seen[name] for name in expected} == expected


@pytest.mark.parametrize("entry", parameters(judged=False))
def test_a_vector_is_parsed(entry):
    quote = parse_quote((VECTORS / entry["quote"]).read_bytes())
    expected = entry["expected"]
    assert quote.to_json_object()["body"] == expected["body"]
    assert quote.certification_type == expected.get("cert_type", 5)


@pytest.fixture
def vector(shared_vectors):
    """Return a function that finds a vector by its id."""
    assert shared_vectors / "dcap" == VECTORS
    by_id = {entry["id"]: entry for entry in entries()}
    return by_id.__getitem__


def test_every_vector_is_judged_or_parsed(shared_vectors):
    assert shared_vectors.joinpath("dcap") == VECTORS
    assert (len(parameters(judged=True)), len(parameters(judged=False))) == (259, 6)


def test_refused_quotes_that_can_be_read_show_the_expected_body(shared_vectors):
    for entry in entries():
        if body := entry["expected"].get("body"):
            quote = parse_quote(shared_vectors.joinpath("dcap", entry["quote"]).read_bytes())
            assert quote.to_json_object()["body"] == body


def test_real_evidence_is_of_domain_intel_by_its_key_alone(vector):
    verdict = judge(vector("real-sgx-v3-c81a90ee-2025-08-15"), anchors=[INTEL])
    assert verdict.trust_domain is TrustDomain.INTEL
    assert verdict.root_key_id.startswith("46e403bd34f05a3f")


def pem_blocks(text):
    return re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", text, re.DOTALL)


def with_root(quote, root):
    """Return a quote whose PCK chain ends at another certificate: nobody signed the chain as such."""
    at = 436 + 128 + 384 + 64  # where the length of the QE authentication data stands
    at += 2 + int.from_bytes(quote[at : at + 2], "little") + 2
    current = pem_blocks(quote)[-1]
    grown = len(root) - len(current)
    total, size = (int.from_bytes(quote[start : start + 4], "little") + grown for start in (432, at))
    head = quote[:432] + total.to_bytes(4, "little") + quote[436:at] + size.to_bytes(4, "little")
    return head + quote[at + 4 :].replace(current, root)


def test_sc_01_both_issues_of_intels_root_end_at_the_pinned_key(vector):
    """Intel issued its root twice with one key; which of them a quote or the collateral carries does not matter."""
    entry = vector("real-sgx-v3-c81a90ee-2025-08-15")
    older = pem_blocks((VECTORS / vector("nocollateral-2a49ce72")["quote"]).read_bytes())[-1]
    quote = (VECTORS / entry["quote"]).read_bytes()
    current = pem_blocks(quote)[-1]
    assert older != current
    text = (VECTORS / entry["collateral"]).read_text(encoding="utf-8")
    for collateral in (text, text.replace(json.dumps(current.decode())[1:-1], json.dumps(older.decode())[1:-1])):
        verdict = verify(
            with_root(quote, older),
            Collateral.from_json(collateral),
            anchors=[INTEL],
            at=datetime.fromtimestamp(entry["verification_time"], UTC),
        )
        assert verdict.status == entry["expected"]["status"]


def test_sc_01_a_root_of_intels_name_with_another_key_is_refused(vector):
    entry = vector("real-sgx-v3-c81a90ee-2025-08-15")
    namesake = pem_blocks((VECTORS / vector("nocollateral-f4f27469")["quote"]).read_bytes())[-1]
    with pytest.raises(EvidenceRefused, match="Intel SGX Root CA") as refused:
        verify(
            with_root((VECTORS / entry["quote"]).read_bytes(), namesake),
            Collateral.from_json((VECTORS / entry["collateral"]).read_bytes()),
            anchors=[INTEL],
            at=datetime.fromtimestamp(entry["verification_time"], UTC),
        )
    assert refused.value.reason == "PCK_CERT_CHAIN_UNTRUSTED"


def test_the_published_root_makes_intels_anchor(vector):
    root = (VECTORS / vector("real-sgx-v3-c81a90ee-2025-08-15")["root"]).read_bytes()
    assert Anchor.from_certificate(root) == INTEL


@pytest.mark.parametrize("name", ["sim-sgx-uptodate", "sim-sgx-Revoked"])
def test_sc_02_simulated_vectors_are_refused_under_intels_key(vector, name):
    with pytest.raises(EvidenceRefused) as refused:
        judge(vector(name), anchors=[INTEL])
    assert refused.value.reason == "ROOT_UNTRUSTED"


def test_ev_05_padding_is_reported(vector):
    assert judge(vector("sim-trailing-zeros")).trailing_len > 0


def test_certification_data_name_the_platform_where_they_can(vector):
    quote = parse_quote((VECTORS / vector("parse-72a05bf6")["quote"]).read_bytes())
    ids = quote.platform_ids()
    assert (ids.encrypted, len(ids.ppid), ids.pce_svn, ids.pce_id.hex()) == (True, 384, 12, "0000")
    assert ids.cpu_svn == quote.body.cpu_svn


def test_the_sample_with_too_few_bytes_for_its_platform_says_so(vector):
    quote = parse_quote((VECTORS / vector("parse-8cc428aa")["quote"]).read_bytes())
    with pytest.raises(EvidenceRefused, match="PCEID") as refused:
        quote.platform_ids()
    assert refused.value.reason == "QUOTE_TRUNCATED"


@pytest.mark.parametrize("name", ["sim-sgx-uptodate", "sim-sgx-uptodate-processor-ca"])
def test_the_pck_extension_is_read_as_signed(vector, name):
    platform = judge(vector(name)).to_json_object()["platform"]
    processor = name.endswith("processor-ca")
    assert platform["ca_type"] == ("processor" if processor else "platform")
    assert (platform["platform_instance_id"] is None) == processor
    assert platform["sgx_type"] == (0 if processor else 1)
