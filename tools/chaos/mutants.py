"""Break the product on purpose, in a copy, and see that the chaos run finds each break. A proof of the proof.

    python tools/chaos/mutants.py [NAME …] [--seed N]

Each mutant is a change of one or two lines that a careless patch could make, and the rule of checker.py that has to
find it. Exit status 1 if a mutant gets through a run of `--seconds`, or is found by another rule alone. Slow: about a
minute each. A mutant whose lines are gone is an error: change it along with the product.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
SOURCE: Final = HERE.parents[1] / "src"
BROKER: Final = "strongroom/broker"


@dataclass(frozen=True)
class Mutant:
    """What is changed, and which rule has to find it."""

    rule: str
    edits: tuple[tuple[str, str, str], ...]  # file below src, what stands there once, what takes its place
    kinds: tuple[str, ...] = ("crash", "kill", "partition")  # what breaks meanwhile


MUTANTS: Final = {
    "answers before the disk has it": Mutant(
        "no acknowledged ledger line is lost",
        ((f"{BROKER}/store/postgresql.py", "synchronous_commit = on;", "synchronous_commit = off;"),),
        ("crash", "database"),
    ),
    "takes a broken commit for a good one": Mutant(
        "no acknowledged ledger line is lost",
        ((f"{BROKER}/store/postgresql.py", "if not self._was_committed():", "if False:"),),
        ("partition",),
    ),
    "does not use up a nonce": Mutant(
        "no nonce is accepted twice",
        ((f"{BROKER}/kbs_sessions.py", "    if not rows:\n        return KbsNonceUsed",
          "    if False:\n        return KbsNonceUsed"),),
    ),
    "counts its own leases alone": Mutant(
        "no more leases than the limit, over all brokers",
        (
            (f"{BROKER}/leases.py", "count(tx, asked.tenant, asked.rule, asked.secret) >= limit:",
             "sum(each.id in _OWN for each in live(tx)) >= limit:"),
            (f"{BROKER}/leases.py", "    values = [getattr(lease, name) for name in _FIELDS]",
             "    _OWN.add(lease.id) if limit else None\n    values = [getattr(lease, name) for name in _FIELDS]"),
            (f"{BROKER}/leases.py", "_ID_BYTES: Final = 16\n", "_ID_BYTES: Final = 16\n_OWN: set[str] = set()\n"),
        ),
    ),
    "does not look at revocations": Mutant(
        "nothing is released after a revocation",
        ((f"{BROKER}/admission.py", "for revocation in revocations.check(tx, case.tenant, name, marks):",
          "for revocation in ():"),),
    ),
    "leaves leases alone that a revocation touches": Mutant(
        "nothing is released after a revocation",
        ((f"{BROKER}/leases.py", "    for lease in found:\n", "    for lease in ():\n"),),
    ),
    "believes any clock": Mutant(
        "a broker whose clock jumped releases nothing",
        ((f"{BROKER}/clock.py", "        if trouble is not None:\n            raise ClockUntrusted(trouble)\n", ""),),
        ("clock",),
    ),
    "gives every measurement what a rule gives": Mutant(
        "nothing is released against policy",
        ((f"{BROKER}/release.py", "fulfilled = [rule for rule, reasons in judged if not reasons]",
          "fulfilled = [rule for rule, _ in judged if wanted is not None]"),),
    ),
    "never connects to its database again": Mutant(
        "service comes back by itself",
        ((f"{BROKER}/store/postgresql.py", "connection, self._connection = self._connection, None",
          "connection = self._connection"),),
    ),
    "ends when the database is gone": Mutant(
        "brokers outlive what is around them, and end when they are told",
        ((f"{BROKER}/store/postgresql.py", "                self.discard()\n                pause = next(",
          "                os._exit(3)\n                pause = next("),),
    ),
}  # fmt: skip


def mutated(mutant: Mutant, folder: Path) -> Path:
    """Copy the product and change it; return what goes into PYTHONPATH. Raises SystemExit for lines that are gone."""
    copy = folder / "src"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in mutant.edits:
        text = (copy / name).read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise SystemExit(f"{name} has {text.count(old)} times: {old}")
        (copy / name).write_text(text.replace(old, new), encoding="utf-8")
    return copy


def broken_rules(source: Path, folder: Path, *, seconds: float, seed: int, kinds: tuple[str, ...]) -> dict[str, str]:
    """Run the schedule on a product; return the rules that broke, and what broke them. Raises SystemExit."""
    found = folder / "found.json"
    words = ["--seconds", str(seconds), "--seed", str(seed), "--gap", "0.5", "--json", str(found)]
    words += ["--kinds", *kinds]
    environ = {**os.environ, "PYTHONPATH": str(source), "TMPDIR": str(folder)}
    done = subprocess.run([sys.executable, str(HERE / "chaos.py"), *words], env=environ,
                          capture_output=True, text=True, check=False)  # fmt: skip
    if not found.exists():
        raise SystemExit(f"the run broke off: {done.stderr[-2000:]}")
    return {each["rule"]: each["what"] for each in json.loads(found.read_text())["violations"]}


def main() -> int:
    """Run the mutants that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {'; '.join(MUTANTS)}")
    parser.add_argument("--seconds", type=float, default=45.0, help="how long things break for each (default: 45)")
    parser.add_argument("--seed", type=int, default=7, help="of the schedule (default: 7)")
    args = parser.parse_args()
    missed = 0
    for name in args.names or MUTANTS:
        mutant = MUTANTS[name]
        folder = Path(tempfile.mkdtemp(prefix="strongroom-mutant-"))
        folder.chmod(0o711)  # the database runs as somebody else
        broken = broken_rules(mutated(mutant, folder), folder, seconds=args.seconds, seed=args.seed, kinds=mutant.kinds)
        shutil.rmtree(folder)
        found = mutant.rule in broken
        missed += not found
        said = f"{'found' if found else 'MISSED'}  {name}: {broken.get(mutant.rule, sorted(broken))}"
        sys.stdout.write(f"{said[:200]}\n")
        sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
