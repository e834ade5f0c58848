"""A second opinion: `dcap-qvl` judges the same bytes; where it disagrees, the reason is written down here.

Each row of `ADJUDICATED` is a class of difference from the specification's section 10.2. A disagreement that no row
covers fails, and so does a row that no vector needs any more. The package never decides anything in the product.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import dcap_qvl
import pytest

from strongroom.attestation import Anchor, Collateral, EvidenceRefused, verify

VECTORS = Path(
    os.environ.get("STRONGROOM_VECTORS", Path(__file__).resolve().parents[4] / "shared" / "vectors")
).joinpath("dcap")

# (what we say, what dcap-qvl says, or a part of it): why
ADJUDICATED = {
    ("sim-pceid-mismatch", "TCB_INFO_MISMATCH", "UpToDate"): "it does not compare the PCEID",
    ("sim-tcbtype-nonzero", "TCB_TYPE", "UpToDate"): "it does not look at tcbType",
    ("sim-tcb-signer-wrong-cn", "TCB_SIGNING_CERT_MISSING", "UpToDate"): "it does not check the signer's role",
    ("sim-tcbinfo-signed-by-pck", "TCB_SIGNING_CHAIN", "UpToDate"): "it lets a PCK key sign reference data",
    ("sim-pck-wrong-cn", "SGX_PCK_MISSING", "UpToDate"): "it does not check the leaf's role",
    ("sim-pck-crl-not-yet-valid", "CRL_EXPIRED", "UpToDate"): "it does not look at thisUpdate",
    ("sim-auth-internal-trailing", "AUTH_TRAILING", "UpToDate"): "it accepts junk inside the signature data",
    ("sim-qe-report-data-upper-half-nonzero", "INVALID_QE_REPORT_DATA", "UpToDate"): "it compares the lower half only",
    ("*", "*", "missing field `sgxtcbcomponents`"): "it does not read TCB info of version 2",
    ("*", "*", "Debug mode is enabled"): "it refuses debug enclaves, which is policy here",
    ("*", "*", "Invalid QE auth data length"): "it wants exactly 32 bytes of QE authentication data",
    ("*", "Revoked", "TCB status is invalid: Revoked"): "it refuses Revoked instead of claiming it",
}


def entries():
    index = VECTORS / "index.json"
    vectors = json.loads(index.read_text(encoding="utf-8"))["vectors"] if index.is_file() else []
    judged = [entry for entry in vectors if entry["tee"] == "SGX" and entry["collateral"]]
    return [entry for entry in judged if (VECTORS / entry["quote"]).read_bytes()[:2] not in {b"\4\0", b"\5\0"}]


def ours(quote, collateral, root, at):
    """Return status and advisories, or the code."""
    try:
        verdict = verify(
            quote,
            Collateral.from_json(collateral),
            anchors=[Anchor.from_certificate(root)],
            at=datetime.fromtimestamp(at, UTC),
        )
    except EvidenceRefused as refused:
        return False, str(refused.reason), []
    return True, verdict.status.value, list(verdict.advisories)


def theirs(quote, collateral, root, at):
    """Return status and advisories, or the sentence."""
    try:
        parsed = dcap_qvl.QuoteCollateralV3.from_json(collateral)
        result = dcap_qvl.verify_with_root_ca(quote, parsed, root, at)
    except ValueError as problem:
        return False, str(problem), []
    return True, result.status, list(result.advisory_ids)


def adjudicated(name, mine, other):
    """Return the row that covers a disagreement; None if there is none."""
    for row in ADJUDICATED:
        names, codes, part = row
        if names in {"*", name} and codes in {"*", mine} and part in other:
            return row
    return None


def disagreement(name, quote, collateral, root, at):
    """Return the row that explains how two verdicts differ; None if they do not; fail if nothing explains it."""
    mine, other = ours(quote, collateral, root, at), theirs(quote, collateral, root, at)
    if mine == other or (not mine[0] and not other[0]):
        return None
    row = adjudicated(name, mine[1], other[1])
    assert row is not None, (name, mine, other)
    return row


def test_sc_14_an_independent_verifier_agrees_or_the_reason_is_known(shared_vectors):
    assert shared_vectors / "dcap" == VECTORS
    used = set()
    for entry in entries():
        used.add(
            disagreement(
                entry["id"],
                (VECTORS / entry["quote"]).read_bytes(),
                (VECTORS / entry["collateral"]).read_text(encoding="utf-8"),
                (VECTORS / entry["root"]).read_bytes(),
                entry["verification_time"],
            )
        )
    assert used - {None} == set(ADJUDICATED), "a row that nothing needs"


def test_sc_14_it_accepts_the_little_world(judge, world):
    collateral, at = Collateral(**world.collateral()).to_json(), int(world.now.timestamp())
    root, quote = world.root_der(), world.quote()
    assert theirs(quote, collateral, root, at) == ours(quote, collateral, root, at) == (True, "UpToDate", [])


@pytest.mark.parametrize("part", ["quote", "tcb_info", "qe_identity", "root_ca_crl", "pck_crl"])
def test_sc_14_both_refuse_flipped_bits(world, part):
    """Flip one bit at a time over what is signed or hashed; neither verifier may accept any."""
    root, at, quote = world.root_der(), int(world.now.timestamp()), world.quote()
    parts = world.collateral()
    target = quote[: 436 + 576 + 34] if part == "quote" else parts[part].encode()
    for position in range(0, len(target), max(1, len(target) // 120)):
        if part == "quote":
            if 432 <= position < 436:
                continue
            flipped = quote[:position] + bytes([quote[position] ^ 1]) + quote[position + 1 :]
            both = [f(flipped, json.dumps(parts), root, at) for f in (ours, theirs)]
        else:
            spoiled = target[:position] + bytes([target[position] ^ 1]) + target[position + 1 :]
            collateral = json.dumps(parts | {part: spoiled.decode("latin-1")})
            both = [f(quote, collateral, root, at) for f in (ours, theirs)]
        assert [verdict[0] for verdict in both] == [False, False], (part, position, both)
