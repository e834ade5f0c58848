"""Replay TensorFlow Serving's cases against real servers, on both gRPC front ends: one line a case and front.

    .venv/bin/python tools/conformance/conformance.py [CASES] [--testdata DIR] [--front NAME] [--only ID,ID]

CASES is a file in the form of the shared vectors' cases.json, which is the default. Exit status 1 where a case failed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import Counter
from pathlib import Path

from case_files import BadCases, Case, CaseFile, load
from replay import TWIN, replay

REPOSITORY = Path(__file__).resolve().parents[2]
FRONTS = ("grpcio", "fast")
_TESTS = REPOSITORY / "tests" / "e2e" / "serving"


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="conformance", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", nargs="?", type=Path, default=vectors() / "cases.json", metavar="CASES")
    parser.add_argument("--testdata", type=Path, metavar="DIR", help="the models (default: testdata beside CASES)")
    parser.add_argument("--front", action="append", choices=FRONTS, help="only this front; may be repeated")
    parser.add_argument("--only", default="", metavar="ID,ID", help="only these cases")
    args = parser.parse_args()
    try:
        testdata = args.testdata.resolve() if args.testdata else None
        file = load(args.cases.resolve(), testdata, spare_testdata=vectors().resolve() / "testdata")
        return run(file, tuple(args.front or FRONTS), set(filter(None, args.only.split(","))))
    except BadCases as problem:
        print(problem, file=sys.stderr)
        return 2


def vectors() -> Path:
    """Return the folder of the shared serving vectors."""
    shared = Path(os.environ.get("STRONGROOM_VECTORS", REPOSITORY.parent / "shared" / "vectors"))
    return shared / "tfserving"


def run(file: CaseFile, fronts: tuple[str, ...], only: set[str]) -> int:
    """Replay, print a line for each outcome and a summary; return the exit status."""
    counts: Counter[str] = Counter()
    for group, cases in file.groups().items():
        chosen = [case for case in cases if not only or case.id in only]
        if not chosen:
            continue
        for outcome in replay(file, group, chosen, fronts):
            counts["failed" if outcome.differences else "ok"] += 1
            if outcome.differences or outcome.front != TWIN:  # that fronts agree is the rule
                print(outcome.line, flush=True)
    for case in file.cases:
        if case.group is None and (not only or case.id in only):
            counts["told in prose"] += 1
            print(f"told in prose {case.id} {case.title} - {where_tested(case)}")
    print(", ".join(f"{count} {word}" for word, count in counts.items()) or "no case was chosen")
    return 1 if counts["failed"] or not counts else 0


def where_tested(case: Case) -> str:
    """Return which test of ours holds a lifecycle case."""
    pattern = re.compile(rf"def (test_{case.id.lower()}_\w+)\(")
    for path in sorted(_TESTS.glob("test_*.py")):
        if match := pattern.search(path.read_text(encoding="utf-8")):
            return f"see {path.relative_to(REPOSITORY)}::{match[1]}"
    return "no test of ours has this number"


if __name__ == "__main__":
    sys.exit(main())
