"""Verification of quotes against dcap-qvl (Rust) in the same process and run: cold, warm, and the floor below both.

Cold: nothing that a quote or its collateral brings is remembered. Each time the collateral comes as JSON text, and
every certificate, list, document and key is read anew; only Intel's own certificates, which come with the program,
were read and verified when it was imported (measured without them, too). Warm: a `Verifier` that has seen the
platform; the quote is new to it as far as it can tell, and every time window is asked. dcap-qvl is measured with JSON
each time, which is what cold does, and with its collateral parsed before, which is stricter for us.

Evidence: the real quotes of the shared vectors (STRONGROOM_VECTORS, default ../shared/vectors) that both accept;
without them, the simulated ones under tests/vectors. Ratios are medians over rounds in which all take turns.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from types import FrameType
from unittest.mock import patch

import dcap_qvl
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from harness import Report, measure
from strongroom.attestation import Anchor, Collateral, Verdict, Verifier, chain, collateral, signatures, verify

ROOT = Path(__file__).resolve().parents[1]
VECTORS = Path(os.environ.get("STRONGROOM_VECTORS", ROOT.parent / "shared" / "vectors")) / "dcap"
SIMULATED = ROOT / "tests" / "vectors" / "simulated"
ROUNDS = int(os.environ.get("STRONGROOM_BENCH_ROUNDS", "7"))
TURNS = 16  # of each way in a round
CALLS = 30  # in a turn, shared among the cases
COLD, WARM = ">= 0.6", ">= 5"
SCALING_S = 2.0
UNAIDED = "cold, without the certificates that come along"
ALGORITHM = ec.ECDSA(hashes.SHA256())
VERIFICATION = "ECPublicKey.verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One quote that both verifiers accept."""

    kind: str  # "SGX" or "TDX", with "simulated" where it is
    quote: bytes
    collateral: str
    root: bytes
    at: int  # unix seconds


def real_cases() -> list[Case]:
    """Return the real quotes with a sound verdict, at each of their dates."""
    index = VECTORS / "index.json"
    entries = json.loads(index.read_text(encoding="utf-8"))["vectors"] if index.is_file() else []
    return [
        Case(
            kind=entry["tee"],
            quote=(VECTORS / entry["quote"]).read_bytes(),
            collateral=(VECTORS / entry["collateral"]).read_text(encoding="utf-8"),
            root=(VECTORS / entry["root"]).read_bytes(),
            at=entry["verification_time"],
        )
        for entry in entries
        if entry["kind"] == "real" and entry["expected"]["verdict"] == "ok"
    ]


def simulated_cases() -> list[Case]:
    """Return the simulated quotes that come with the source."""
    cases = []
    for folder in sorted(SIMULATED.iterdir()):
        expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        cases.append(
            Case(
                kind="simulated SGX",
                quote=(folder / "quote.bin").read_bytes(),
                collateral=(folder / "collateral.json").read_text(encoding="utf-8"),
                root=(folder / "root.der").read_bytes(),
                at=expected["at"],
            )
        )
    return cases


class Contest:
    """One case, ready for every way of judging it that is measured."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.theirs = dcap_qvl.QuoteCollateralV3.from_json(case.collateral)
        self.ours = Collateral.from_json(case.collateral)
        self.anchors = [Anchor.from_certificate(case.root)]
        self.at = datetime.fromtimestamp(case.at, UTC)
        self.verifier = Verifier(self.anchors)
        self.stranger = Verifier(self.anchors, max_keys=0)

    def agreed(self) -> bool:
        """Whether both accept, with one status; this warms the verifier, too."""
        try:
            theirs = self.rust_parsed()
        except ValueError:
            return False
        return bool(self.cold().status == self.warm().status == theirs.status)

    def rust_parsed(self) -> dcap_qvl.VerifiedReport:
        return dcap_qvl.verify_with_root_ca(self.case.quote, self.theirs, self.case.root, self.case.at)

    def rust_json(self) -> dcap_qvl.VerifiedReport:
        collateral = dcap_qvl.QuoteCollateralV3.from_json(self.case.collateral)
        return dcap_qvl.verify_with_root_ca(self.case.quote, collateral, self.case.root, self.case.at)

    def cold(self) -> Verdict:
        signatures.public_key.cache_clear()
        return verify(self.case.quote, Collateral.from_json(self.case.collateral), anchors=self.anchors, at=self.at)

    def warm(self) -> Verdict:
        return self.verifier.verify(self.case.quote, self.ours, at=self.at)

    def warm_new_key(self) -> Verdict:
        """Return the verdict of a verifier to which each attestation key is new: two signatures instead of one."""
        signatures.public_key.cache_clear()
        return self.stranger.verify(self.case.quote, self.ours, at=self.at)

    def signatures_of(self, way: Callable[[], object]) -> int:
        """Return how many P-256 signatures a way of judging verifies."""
        found = 0

        def watch(_frame: FrameType, event: str, called: object) -> None:
            nonlocal found
            found += event == "c_call" and getattr(called, "__qualname__", "") == VERIFICATION

        sys.setprofile(watch)
        try:
            way()
        finally:
            sys.setprofile(None)
        return found


def one_verification() -> Callable[[], object]:
    """Return the verification of one P-256 signature by the library that we use, and nothing else."""
    key, message = ec.generate_private_key(ec.SECP256R1()), bytes(384)
    signature, public, algorithm = key.sign(message, ALGORITHM), key.public_key(), ALGORITHM
    return lambda: public.verify(signature, message, algorithm)


@contextmanager
def unaided() -> Iterator[None]:
    """Forget Intel's certificates that come with the program, for as long as the block lasts."""
    with (
        patch.object(collateral, "INTEL_CERTIFICATES", {}),
        patch.object(chain, "signed_by_intel", lambda _certificate, _point: False),
    ):
        yield


def compare(report: Report, kind: str, contests: list[Contest]) -> None:
    """Measure all ways of judging in turns, and report CPU and ratios."""
    ways: dict[str, list[Callable[[], object]]] = {
        "dcap-qvl, collateral parsed before": [each.rust_parsed for each in contests],
        "dcap-qvl, collateral from JSON": [each.rust_json for each in contests],
        "cold": [each.cold for each in contests],
        UNAIDED: [each.cold for each in contests],
        "warm": [each.warm for each in contests],
        "warm, new attestation key": [each.warm_new_key for each in contests],
        "one P-256 verification": [one_verification()],
    }
    rounds: list[dict[str, float]] = [cost_of_each(ways) for _ in range(ROUNDS)]
    cost = {way: median(each[way] for each in rounds) for way in ways}
    for way in ways:
        report.add(f"{kind}: {way}", cost[way] * 1e6, "CPU-us")

    def share(of: str, by: str, times: float = 1.0) -> float:
        return median(each[of] / each[by] / times for each in rounds)

    parsed, from_json, *ours, one = ways
    report.add(f"{kind}: cold, throughput over dcap-qvl (from JSON)", share(from_json, "cold"), "ratio", target=COLD)
    report.add(f"{kind}: cold, throughput over dcap-qvl (parsed before)", share(parsed, "cold"), "ratio", target=COLD)
    report.add(f"{kind}: {UNAIDED}, over dcap-qvl (from JSON)", share(from_json, UNAIDED), "ratio")
    report.add(f"{kind}: warm, throughput over dcap-qvl (parsed before)", share(parsed, "warm"), "ratio", target=WARM)
    report.add(
        f"{kind}: warm, new key, over dcap-qvl (parsed before)", share(parsed, "warm, new attestation key"), "ratio"
    )
    for way in ours:
        with unaided() if way == UNAIDED else nullcontext():
            count = contests[0].signatures_of(ways[way][0])
        report.add(f"{kind}: {way}, floor of {count} P-256 verifications", cost[one] * count * 1e6, "CPU-us")
        report.add(f"{kind}: {way}, times its floor", share(way, one, count), "ratio")


def cost_of_each(ways: dict[str, list[Callable[[], object]]]) -> dict[str, float]:
    """Return CPU seconds per call, by way; the ways take turns, and each has the calmest of its turns counted."""
    best: dict[str, float] = dict.fromkeys(ways, float("inf"))
    for _ in range(TURNS):
        for way, actions in ways.items():
            repeats = max(1, CALLS // len(actions))

            def turn(actions: list[Callable[[], object]] = actions, repeats: int = repeats) -> None:
                for action in actions:
                    for _ in range(repeats):
                        action()

            with unaided() if way == UNAIDED else nullcontext():
                best[way] = min(best[way], measure(turn).cpu_s / (repeats * len(actions)))
    return best


def warm_count(contest: Contest) -> int:
    """Return how many warm verdicts this thread or process gives in a fixed time."""
    count, end = 0, time.perf_counter() + SCALING_S
    while time.perf_counter() < end:
        contest.warm()
        count += 1
    return count


def in_a_process(case: Case) -> int:
    """Return the same for a new process with a verifier of its own."""
    contest = Contest(case)
    contest.warm()
    return warm_count(contest)


def scaling(report: Report, contest: Contest) -> None:
    """Measure two processes and two threads against one, by wall time."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        one = pool.submit(in_a_process, contest.case).result()
        two = sum(pool.map(in_a_process, [contest.case] * 2))
    with ThreadPoolExecutor(2) as threads:
        shared = sum(threads.map(warm_count, [contest] * 2))
    report.add("warm: one process", one / SCALING_S, "verdicts/s wall")
    report.add(f"warm: two processes over one, wall ({os.cpu_count()} cores)", two / one, "ratio")
    report.add("warm: two threads over one process, wall", shared / one, "ratio")


def main() -> int:
    report = Report("attestation", command="uv run python bench/attestation.py")
    cases = real_cases() or simulated_cases()
    contests = [contest for contest in map(Contest, cases) if contest.agreed()]
    for kind in sorted({contest.case.kind for contest in contests}):
        chosen = [contest for contest in contests if contest.case.kind == kind]
        report.add(f"{kind}: pieces of evidence", len(chosen), "quotes")
        compare(report, kind, chosen)
    scaling(report, contests[0])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
