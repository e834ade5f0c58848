"""Evidence of every version and both TEEs, made once and kept: it must get the same verdict for ever.

Our verifier is held to what the specification wants, `dcap-qvl` to where it is known to agree and to differ.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import dcap_qvl
import pytest

from strongroom.attestation import INTEL, Anchor, Collateral, EvidenceRefused, Tee, parse_quote, verify
from strongroom.platforms.simulated import QuoteFormat

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "simulated_quotes"
CASES = json.loads((VECTORS / "index.json").read_text(encoding="utf-8"))


def collateral_of(case) -> Collateral:
    """Return the usual collateral of the case's world with what differs in this case."""
    names = [case[kind] for kind in ("collateral", "changes") if kind in case]
    parts = {}
    for name in names:
        parts |= json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return Collateral(**parts)


def quote_of(case) -> bytes:
    return (VECTORS / case["quote"]).read_bytes()


def root_of(case) -> bytes:
    return (VECTORS / case["root"]).read_bytes()


@pytest.fixture(params=CASES, ids=lambda case: case["name"])
def case(request):
    return request.param


def test_the_set_is_complete():
    assert len(CASES) == len({case["name"] for case in CASES}) == 84
    verified = {(case["expected"]["tee"], case["expected"]["body"]["quote_version"])
                for case in CASES if case["expected"]["verdict"] == "ok"}  # fmt: skip
    assert verified == {("SGX", 3), ("SGX", 4), ("SGX", 5), ("TDX", 4), ("TDX", 5)}


def test_a_vector_gets_its_verdict(case):
    expected = dict(case["expected"])
    anchors = [INTEL, Anchor.from_certificate(root_of(case))]
    at = datetime.fromtimestamp(case["at"], UTC)
    if expected.pop("verdict") == "err":
        with pytest.raises(EvidenceRefused) as refusal:
            verify(quote_of(case), collateral_of(case), anchors=anchors, at=at)
        assert refusal.value.reason == expected["error"]
        return
    found = verify(quote_of(case), collateral_of(case), anchors=anchors, at=at).to_json_object()
    body = expected.pop("body")
    assert {name: found[name] for name in expected} == expected
    assert {name: found["body"][name] for name in body} == body


def test_the_other_verifier_agrees_where_it_is_known_to(case):
    parsed = dcap_qvl.QuoteCollateralV3.from_json(collateral_of(case).to_json())
    sound = case["expected"]["verdict"] == "ok"
    if case["dcap_qvl"] == "refuses" or (case["dcap_qvl"] == "same" and not sound):
        with pytest.raises(ValueError, match=r"."):
            dcap_qvl.verify_with_root_ca(quote_of(case), parsed, root_of(case), case["at"])
        return
    report = dcap_qvl.verify_with_root_ca(quote_of(case), parsed, root_of(case), case["at"])
    if sound:
        assert (report.status, report.advisory_ids) == (case["expected"]["status"], case["expected"]["advisories"])


def test_id_13_nobody_who_trusts_intel_alone_accepts_one(case):
    at = datetime.fromtimestamp(case["at"], UTC)
    with pytest.raises(EvidenceRefused):
        verify(quote_of(case), collateral_of(case), anchors=[INTEL], at=at)


def test_what_is_made_today_has_the_layout_of_what_was_made_then(world, trust_domain, now):
    kept = quote_of(next(case for case in CASES if case["name"] == "tdx-uptodate"))
    made = world.quoting_enclave(QuoteFormat(tee=Tee.TDX, version=4)).quote(trust_domain, bytes(range(64)))
    assert made[:8] == kept[:8]
    assert abs(len(made) - len(kept)) < 40, "only the DER of signatures and serials may differ in length"
    assert parse_quote(made).body.to_json_object().keys() == parse_quote(kept).body.to_json_object().keys()
    then = json.loads(collateral_of(next(case for case in CASES if case["name"] == "tdx-uptodate")).tcb_info)
    today = json.loads(world.collateral(now, tee=Tee.TDX).tcb_info)
    assert list(today) == list(then)
    assert {**today, "fmspc": ""} == {**then, "fmspc": ""}


def test_no_key_is_kept_with_the_vectors():
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in VECTORS.rglob("*") if path.is_file())
