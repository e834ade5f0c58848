"""Second opinions: `dcap-qvl` judges the same bytes, and Intel's library did; where they disagree, the reason is known.

tests/differences.toml holds the classes of differences. A disagreement that no entry covers fails, and so does an entry
that the vectors no longer need. Neither verifier decides anything in the product.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import dcap_qvl
import pytest

from strongroom.attestation import Anchor, Collateral, EvidenceRefused, verify

REPOSITORY = Path(__file__).resolve().parents[3]
VECTORS = Path(
    os.environ.get("STRONGROOM_VECTORS", Path(__file__).resolve().parents[4] / "shared" / "vectors")
).joinpath("dcap")
DIFFERENCES = tomllib.loads((REPOSITORY / "tests" / "differences.toml").read_text(encoding="utf-8"))["difference"]


def entries():
    index = VECTORS / "index.json"
    vectors = json.loads(index.read_text(encoding="utf-8"))["vectors"] if index.is_file() else []
    return [entry for entry in vectors if entry["collateral"]]


def parts(entry):
    """Return quote, collateral, root and time of a vector."""
    quote, root = (VECTORS / entry["quote"]).read_bytes(), (VECTORS / entry["root"]).read_bytes()
    return quote, (VECTORS / entry["collateral"]).read_text(encoding="utf-8"), root, entry["verification_time"]


def accepted(status, advisories):
    return f"accepts: {status} {' '.join(advisories)}".rstrip()


def ours(quote, collateral, root, at):
    """Return our opinion as text, and the verdict where there is one."""
    try:
        verdict = verify(
            quote,
            Collateral.from_json(collateral),
            anchors=[Anchor.from_certificate(root)],
            at=datetime.fromtimestamp(at, UTC),
        )
    except EvidenceRefused as refused:
        return f"refuses: {refused.reason.value}: {refused.sentence}", None
    return accepted(verdict.status.value, verdict.advisories), verdict


def theirs(quote, collateral, root, at):
    """Return dcap-qvl's opinion as text, without any policy on status, and its claims where there are any."""
    verifier, policy = dcap_qvl.QuoteVerifier(root), dcap_qvl.QuotePolicy.claims_only(at)
    try:
        parsed = dcap_qvl.QuoteCollateralV3.from_json(collateral)
        claims = json.loads(verifier.verify_with_policy(quote, parsed, at, policy).to_json())
    except ValueError as problem:
        return f"refuses: {problem}", None
    return accepted(claims["tcb"]["status"], claims["tcb"]["advisory_ids"]), claims


def intels(entry, advisories):
    """Return the recorded opinion of Intel's library as text; it does not name advisories, so ours stand in."""
    recorded = entry["intel_qvl_2024_03"]
    if recorded["verdict"] == "ok":
        return accepted(recorded["status"], advisories)
    return f"refuses: {recorded['error']}"


def agree(one, other):
    return one == other or (one.startswith("refuses: ") and other.startswith("refuses: "))


def explained(against, mine, other):
    """Return the id of the entry that covers a disagreement; None where there is none."""
    for entry in DIFFERENCES:
        if entry["against"] != against or "ours" not in entry:
            continue
        if re.match(entry["ours"], mine) and re.match(entry["theirs"], other):
            return entry["id"]
    return None


def tally(against, opinions):
    """Return how often each entry was needed; fail on a disagreement that no entry covers."""
    used = Counter()
    for name, mine, other in opinions:
        if not agree(mine, other):
            found = explained(against, mine, other)
            assert found is not None, (name, mine, other)
            used[found] += 1
    return used


def wanted(against):
    return {entry["id"]: entry["vectors"] for entry in DIFFERENCES if entry["against"] == against and entry["vectors"]}


def test_sc_14_dcap_qvl_agrees_on_every_vector_or_the_reason_is_known(shared_vectors):
    assert shared_vectors / "dcap" == VECTORS
    opinions = [(entry["id"], ours(*parts(entry))[0], theirs(*parts(entry))[0]) for entry in entries()]
    assert len(opinions) == 259
    assert tally("dcap-qvl", opinions) == wanted("dcap-qvl")


def test_sc_14_intels_library_agrees_on_every_vector_or_the_reason_is_known(shared_vectors):
    assert shared_vectors / "dcap" == VECTORS
    opinions = []
    for entry in entries():
        mine, verdict = ours(*parts(entry))
        opinions.append((entry["id"], mine, intels(entry, () if verdict is None else verdict.advisories)))
    assert tally("qvl", opinions) == wanted("qvl")


def test_sc_14_dcap_qvl_makes_the_same_claims(shared_vectors):
    """Where both accept, not only status and advisories are equal."""
    assert shared_vectors / "dcap" == VECTORS
    compared = 0
    for entry in entries():
        _, verdict = ours(*parts(entry))
        _, claims = theirs(*parts(entry))
        if verdict is None or claims is None:
            continue
        compared += 1
        seen, platform = verdict.to_json_object(), claims["platform"]
        pck = platform["pck"]
        assert bytes(pck["ppid"]) == verdict.pck.ppid
        assert bytes(pck["fmspc"]) == verdict.pck.fmspc
        assert bytes(pck["cpu_svn"]) == verdict.pck.cpu_svn
        assert (pck["pce_svn"], pck["sgx_type"]) == (verdict.pck.pce_svn, verdict.pck.sgx_type)
        assert bytes(platform["root_key_id"]).hex() == verdict.root_key_id
        assert (platform["pck_crl_num"], platform["root_ca_crl_num"]) == (seen["pck_crl_num"], seen["root_ca_crl_num"])
        assert (platform["tcb_level"]["tcbDate"] == seen["tcb_date"]) == (seen["module_status"] != "OutOfDate")
        assert claims["qe"]["tcb_level"]["tcbStatus"] == seen["qe_status"]
        assert claims["tcb"]["eval_data_number"] == seen["tcb_eval_ref_num"]
    assert compared > 20


@pytest.mark.parametrize(("version", "body_type"), [(3, 1), (4, 2), (5, 2), (5, 3)])
def test_sc_14_it_accepts_the_little_world(world, version, body_type):
    world.become(version, body_type)
    collateral, at = Collateral(**world.collateral()).to_json(), int(world.now.timestamp())
    evidence = (world.quote(), collateral, world.root_der(), at)
    assert theirs(*evidence)[0] == ours(*evidence)[0] == "accepts: UpToDate"


@pytest.mark.parametrize("part", ["quote", "tcb_info", "qe_identity", "root_ca_crl", "pck_crl"])
def test_sc_14_both_refuse_flipped_bits(world, part):
    """Flip one bit at a time over what is signed or hashed; neither verifier may accept any."""
    root, at, quote = world.root_der(), int(world.now.timestamp()), world.quote()
    collateral = world.collateral()
    target = quote[: 436 + 576 + 34] if part == "quote" else collateral[part].encode()
    for position in range(0, len(target), max(1, len(target) // 120)):
        if part == "quote":
            if 432 <= position < 436:
                continue
            flipped = quote[:position] + bytes([quote[position] ^ 1]) + quote[position + 1 :]
            both = [f(flipped, json.dumps(collateral), root, at)[0] for f in (ours, theirs)]
        else:
            spoiled = target[:position] + bytes([target[position] ^ 1]) + target[position + 1 :]
            changed = json.dumps(collateral | {part: spoiled.decode("latin-1")})
            both = [f(quote, changed, root, at)[0] for f in (ours, theirs)]
        assert [opinion[:9] for opinion in both] == ["refuses: ", "refuses: "], (part, position, both)


def test_the_table_of_differences_is_complete_and_its_page_current():
    ids = [entry["id"] for entry in DIFFERENCES]
    assert len(set(ids)) == len(ids)
    for entry in DIFFERENCES:
        assert {"id", "against", "case", "they", "we", "why", "vectors"} <= set(entry)
        assert bool(entry["vectors"]) == ("ours" in entry) == ("theirs" in entry), entry["id"]
    subprocess.run([sys.executable, str(REPOSITORY / "tools" / "write_difference_docs.py"), "--check"], check=True)
