"""Evidence of a world made once and kept: what is in the repository must get the same verdict for ever."""

import json
from datetime import UTC, datetime
from pathlib import Path

import dcap_qvl
import pytest

from strongroom.attestation import INTEL, Anchor, Collateral, EvidenceRefused, verify

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "simulated"
CASES = sorted(path.parent for path in VECTORS.glob("*/expected.json"))


@pytest.fixture(params=CASES, ids=lambda path: path.name)
def case(request):
    folder = request.param
    expected = json.loads((folder / "expected.json").read_text())
    collateral = Collateral.from_json((folder / "collateral.json").read_text())
    return (folder / "quote.bin").read_bytes(), collateral, (folder / "root.der").read_bytes(), expected


def judged(case):
    quote, collateral, root, expected = case
    at = datetime.fromtimestamp(expected["at"], UTC)
    try:
        verdict = verify(quote, collateral, anchors=[INTEL, Anchor.from_certificate(root)], at=at)
    except EvidenceRefused as refusal:
        return {"verdict": "err", "error": str(refusal.reason)}
    return {"verdict": "ok", **verdict.to_json_object()}


def test_the_set_is_complete():
    assert len(CASES) == 12


def test_a_vector_gets_its_verdict(case):
    expected, found = dict(case[3]), judged(case)
    del expected["note"], expected["at"]
    body = expected.pop("body", {})
    assert {name: found.get(name) for name in expected} == expected
    assert {name: found["body"][name] for name in body} == body


def test_a_refused_vector_is_refused_by_the_other_verifier_too(case):
    quote, collateral, root, expected = case
    parsed = dcap_qvl.QuoteCollateralV3.from_json(collateral.to_json())
    refused = expected["verdict"] == "err" or expected["status"] == "Revoked" or expected["body"]["debug"]
    if refused:
        with pytest.raises(ValueError, match=r"."):
            dcap_qvl.verify_with_root_ca(quote, parsed, root, expected["at"])
    else:
        assert dcap_qvl.verify_with_root_ca(quote, parsed, root, expected["at"]).status == expected["status"]


def test_what_is_made_today_has_the_layout_of_what_was_made_then(world, identity, now):
    kept = (VECTORS / "up-to-date" / "quote.bin").read_bytes()
    made = world.quote(identity, bytes(range(64)))
    assert made[:2] == kept[:2]
    assert abs(len(made) - len(kept)) < 40, "only the DER of signatures and serials may differ in length"
    then = json.loads(Collateral.from_json((VECTORS / "up-to-date" / "collateral.json").read_text()).tcb_info)
    today = json.loads(world.collateral(now).tcb_info)
    assert list(today) == list(then)
    assert {**today, "fmspc": ""} == {**then, "fmspc": ""}


def test_no_key_is_kept_with_the_vectors():
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in VECTORS.rglob("*") if path.is_file())
