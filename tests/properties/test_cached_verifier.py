"""Whatever a verifier has seen before, and in whatever order, it says what it would have said without a memory."""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from strongroom.attestation import Anchor, Collateral, EvidenceRefused, Verifier, verify

SIMULATED = Path(__file__).resolve().parents[1] / "vectors" / "simulated"
NOW = datetime.fromtimestamp(1795176000, UTC)  # when most of these vectors hold
HOUR = timedelta(hours=1)


@cache
def evidence():
    """Return quotes and collaterals of the simulated vectors, and every anchor that one of them ends at."""
    folders = sorted(folder for folder in SIMULATED.iterdir() if (folder / "root.der").is_file())
    quotes = [(folder / "quote.bin").read_bytes() for folder in folders]
    collaterals = [Collateral.from_json((folder / "collateral.json").read_bytes()) for folder in folders]
    roots = sorted({(folder / "root.der").read_bytes() for folder in folders})
    return quotes, collaterals, [Anchor.from_certificate(root) for root in roots]


def outcome(judge, *args, **options):
    try:
        return judge(*args, **options)
    except EvidenceRefused as refused:
        return refused.reason, refused.step, refused.sentence


@given(data=st.data())
def test_sc_13_no_history_changes_an_answer(data):
    quotes, collaterals, anchors = evidence()
    trusted = data.draw(st.lists(st.sampled_from(anchors), unique_by=id, max_size=3))
    sizes = st.integers(0, 3)
    verifier = Verifier(trusted, max_entries=data.draw(sizes), max_keys=data.draw(sizes))
    for _ in range(data.draw(st.integers(1, 8))):
        case = data.draw(st.integers(0, len(quotes) - 1))
        other = data.draw(st.integers(0, len(quotes) - 1) | st.just(case) | st.just(case))
        at = NOW + HOUR * data.draw(
            st.sampled_from([0, 0, 0, 1, -25, 24 * 29, 24 * 31, 24 * 400, 24 * 9000, -24 * 9000])
        )
        grace = HOUR * data.draw(st.sampled_from([0, 0, 24, 24 * 365]))
        args = (quotes[case], collaterals[other])
        cold = outcome(verify, *args, anchors=trusted, at=at, collateral_grace=grace)
        assert outcome(verifier.verify, *args, at=at, collateral_grace=grace) == cold


def test_the_histories_contain_verdicts():
    """Otherwise the test above compares refusals alone."""
    quotes, collaterals, anchors = evidence()
    found = [outcome(verify, *pair, anchors=anchors, at=NOW) for pair in zip(quotes, collaterals, strict=True)]
    assert sum(not isinstance(each, tuple) for each in found) > len(found) // 3
