"""Say what an error code means and what to do; without a code, list all of them."""

from __future__ import annotations

import argparse
import json
import sys

from strongroom.cli.error_catalogue import all_entries
from strongroom.cli.frame import Misuse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("code", nargs="?", help="an error code such as SR-MALFORMED")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the catalogue entries that were asked for."""
    entries = [entry for entry in all_entries() if args.code in (None, entry.code)]
    if not entries:
        raise Misuse(f"there is no error code {args.code[:64]!r}", fix="Run strongroom explain for all of them.")
    if args.json:
        rows = [{"code": e.code, "family": e.family, "meaning": e.meaning, "fix": e.fix} for e in entries]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    for entry in entries:
        sys.stdout.write(f"{entry.code} ({entry.family})\n  {entry.meaning}\n  what to do: {entry.fix}\n")
    return 0
