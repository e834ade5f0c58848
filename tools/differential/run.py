"""Run mutated evidence through Strongroom's verifier and dcap-qvl side by side; fail on a difference nobody explained.

    .venv/bin/python tools/differential/run.py [--cases N] [--first-seed N] [--seconds N] [--show SEED]

Each case is made from its seed alone, so that a failure is shown again with --show. Exit status 1 where a difference is
not in the adjudicated table, or where our verifier raised anything but a refusal.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from itertools import count

import adjudicated
import forge
import grammar
import judge
from forge import Recipe
from judge import Opinion
from peer import Peer

REPORTED = 20


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="differential", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=None, metavar="N", help="stop after N cases (default: 10000)")
    parser.add_argument("--seconds", type=float, default=None, metavar="N", help="stop after N seconds")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N", help="start at this seed (default: 0)")
    parser.add_argument("--show", type=int, metavar="SEED", help="show both opinions of one case")
    args = parser.parse_args()
    with Peer() as peer:
        if args.show is not None:
            return show(args.show, peer)
        cases = 10_000 if args.cases is None and args.seconds is None else args.cases
        return run(peer, first=args.first_seed, cases=cases, seconds=args.seconds)


def run(peer: Peer, *, first: int, cases: int | None, seconds: float | None) -> int:
    """Compare case after case; print a summary, and everything that nobody explained."""
    tally: Counter[str] = Counter()
    unexplained: list[str] = []
    end = None if seconds is None else time.monotonic() + seconds
    for seed in count(first):
        if (cases is not None and seed >= first + cases) or (end is not None and time.monotonic() >= end):
            break
        names, recipe = grammar.derive(seed)
        try:
            found = compare(recipe, peer)
        except Exception as surprise:  # noqa: BLE001  # whatever it is, it is the finding
            found = f"our verifier raised {surprise!r}"
        if found.startswith(("agree", "adjudicated")):
            tally[found] += 1
        else:
            unexplained.append(f"seed {seed} ({', '.join(names)}): {found}")
        if sys.stderr.isatty() and seed % 200 == 0:
            sys.stderr.write(f"\r{seed - first} cases, {len(unexplained)} unexplained ")
    for what, times in sorted(tally.items()):
        sys.stdout.write(f"{times:>8}  {what}\n")
    sys.stdout.write(f"{peer.crashes:>8}  cases ended dcap-qvl's process\n")
    sys.stdout.write("".join(f"UNEXPLAINED {line}\n" for line in unexplained[:REPORTED]))
    sys.stdout.write(f"{sum(tally.values()) + len(unexplained)} cases, {len(unexplained)} unexplained\n")
    return 1 if unexplained else 0


def compare(recipe: Recipe, peer: Peer) -> str:
    """Return in words how the two verifiers stand to each other on one recipe."""

    def ask(changed: Recipe) -> tuple[Opinion, Opinion]:
        case = forge.render(changed)
        return judge.ours(case), judge.theirs(case, peer)

    ours, theirs = opinions = ask(recipe)
    if adjudicated.agree(ours, theirs):
        return "agree: both accept, same status and advisories" if ours.accepts else "agree: both refuse"
    entries = adjudicated.explanation(recipe, opinions, ask)
    return f"adjudicated: {', '.join(entry.id for entry in entries)}" if entries else f"ours {ours} | theirs {theirs}"


def show(seed: int, peer: Peer) -> int:
    """Print one case's productions and both opinions."""
    names, recipe = grammar.derive(seed)
    case = forge.render(recipe)
    quote = recipe.quote
    sys.stdout.write(f"{', '.join(names)} on {quote.tee} version {quote.version}, body type {quote.body_type}\n")
    sys.stdout.write(f"ours    {judge.ours(case)}\ntheirs  {judge.theirs(case, peer)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
