"""Take a revocation back; from then on the rules decide again. An owner does that."""

from __future__ import annotations

import argparse

from strongroom.cli.admin_option import admin_arguments, administration, print_one


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("id", metavar="ID", help="the revocation's id (strongroom broker revocations)")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why, for the ledger")
    admin_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Lift it."""
    with administration(args) as desk:
        done = desk.lift_revocation(revocation=args.id, reason=args.reason)
    print_one(args, done, f"{done['kind']} {done['value']} is not revoked any more")
    return 0
