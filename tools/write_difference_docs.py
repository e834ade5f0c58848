"""Write docs/adjudicated-differences.md from tests/differences.toml; `--check` says whether it is current."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = REPOSITORY / "tests" / "differences.toml"
TARGET: Final = REPOSITORY / "docs" / "adjudicated-differences.md"

HEAD: Final = """# Adjudicated differences

Written by `make docs` from `tests/differences.toml`.

Two other verifiers judge the same evidence: Intel's own library ("QVL", source of March 2024, whose verdicts on the
shared vectors are recorded with them) and the package `dcap-qvl` (0.7.0, run in the tests). Neither decides anything in
Strongroom. Wherever one of them says something else than we do, the class of difference stands here with the reason; a
difference that no line covers fails the tests, and so does a line that the vectors no longer need. Two refusals agree
whatever their words, since the order of checks differs.

The tests compare all shared vectors, and `tools/differential` compares mutated evidence, case after case.

What Strongroom does is the same in all of them: signatures and lengths to the byte, both ends of every date, roles by
whole names, the level order of the specification, and evidence kept apart from policy. A debug enclave or a revoked
platform gets a verdict that says so; the policy refuses it.
"""
PARTS: Final = (
    ("qvl", "Intel's library", "Seen on {seen} of 259 vectors; every status that both give is equal."),
    ("dcap-qvl", "dcap-qvl 0.7.0", "Seen on {seen} of 259 vectors, with its claims-only policy."),
)


def page() -> str:
    """Return the whole page."""
    differences = tomllib.loads(SOURCE.read_text(encoding="utf-8"))["difference"]
    parts = [HEAD]
    for against, title, remark in PARTS:
        rows = [entry for entry in differences if entry["against"] == against]
        seen = sum(entry["vectors"] for entry in rows)
        parts.append(f"\n## {title}\n\n{remark.format(seen=seen)}\n\n")
        parts.append("| id | the evidence | they | we | why | vectors |\n|---|---|---|---|---|---|\n")
        parts.extend(map(row, rows))
    return "".join(parts)


def row(entry: dict[str, Any]) -> str:
    """Return one table row; pipes would end a cell early."""
    cells = (f"`{entry['id']}`", *(entry[name] for name in ("case", "they", "we", "why")), str(entry["vectors"]))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        current = TARGET.read_text(encoding="utf-8") == page()
        sys.exit(0 if current else "docs/adjudicated-differences.md is stale: run make docs")
    TARGET.write_text(page(), encoding="utf-8")
