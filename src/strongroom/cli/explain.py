"""Say what a code means and what to do: of an error, of a refusal by policy, or of a check; without one, list them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Final

from strongroom.cli.error_catalogue import all_entries
from strongroom.cli.frame import Misuse
from strongroom.errors import CatalogueEntry

_MOST_ALIKE: Final = 5  # codes named to somebody who asked for another


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("code", nargs="?", help="a code such as SR-MALFORMED, POLICY_DEBUG or PCK_REVOKED")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the catalogue entries that were asked for."""
    entries = [entry for entry in explained() if args.code is None or entry.code == args.code.upper()]
    if not entries:
        alike = [entry.code for entry in explained() if args.code.upper() in entry.code][:_MOST_ALIKE]
        fix = f"Did you mean {', '.join(alike)}? " if alike else ""
        raise Misuse(f"there is no code {args.code[:64]!r}", fix=f"{fix}Run strongroom explain for all of them.")
    if args.json:
        rows = [{"code": e.code, "family": e.family, "meaning": e.meaning, "fix": e.fix} for e in entries]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    if args.code is None:
        sys.stdout.writelines(f"{entry.code}  {entry.meaning}\n" for entry in entries)
        return 0
    for entry in entries:
        sys.stdout.write(f"{entry.code} ({entry.family})\n  {entry.meaning}\n  what to do: {entry.fix}\n")
    return 0


def explained() -> Iterator[CatalogueEntry]:
    """Yield every code that a person may meet: errors, then policy, then the checks under the specification's names."""
    from strongroom.attestation.codes import EvidenceCode, family_of, fix_of, meaning_of
    from strongroom.attestation.policy import meanings
    from strongroom.broker import admission, release

    yield from all_entries()
    yield from meanings.entries()
    yield from release.entries()
    yield from admission.entries()
    for reason in EvidenceCode:
        yield CatalogueEntry(reason.value, family_of(reason), meaning_of(reason), fix_of(reason))
