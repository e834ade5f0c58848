"""Check a whole set-up: certificates, clock, store, keys, ledger, policy, collateral, broker; each with a fix.

Exit status 0 if everything works, also where something will need attention soon; 2 if something does not.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime

from strongroom.cli.passphrase import passphrase_argument, with_passphrase
from strongroom.cli.workspace_option import workspace_argument
from strongroom.errors import BadInput


class SetupFails(BadInput):
    """Something in the set-up does not work."""

    code = "SR-DOCTOR"
    fix = "Do what stands under each line that begins with FAIL, from the top, then run strongroom doctor again."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    workspace_argument(parser)
    passphrase_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Examine and print; raise SetupFails where something does not work."""
    from strongroom.broker.operations.doctor import Level, examine, worst

    at = datetime.now(UTC)
    findings = with_passphrase(args, lambda given: tuple(examine(args.workspace, at=at, passphrase=given)))
    if args.json:
        sys.stdout.write(json.dumps({"findings": [each.to_json_object() for each in findings]}, indent=2) + "\n")
    else:
        for each in findings:
            sys.stdout.write(f"{each.level.value:<5} {each.part:<13} {_one_line(each.says)}\n")
            if each.fix:
                sys.stdout.write(f"{'':<20}{each.fix}\n")
    count = sum(each.level is Level.FAIL for each in findings)
    if worst(findings) is Level.FAIL:
        raise SetupFails(f"{count} of {len(findings)} findings keep something from working")
    return 0


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
