"""List who holds which secret and until when, or end a lease at once. Ended leases are listed for a day."""

from __future__ import annotations

import argparse

from strongroom.cli.admin_option import admin_arguments, administration, print_one, print_rows

COLUMNS = ("id", "state", "tenant", "secret", "rule", "peer", "measurement", "renewals", "expires_ms")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--tenant", metavar="NAME", help="only this tenant's")
    parser.add_argument("--end", metavar="ID", help="end this lease: its replica has to prove itself again")
    parser.add_argument("--reason", metavar="TEXT", default="ended by hand", help="why, for the ledger")
    admin_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """List, or end one."""
    with administration(args) as desk:
        if args.end is not None:
            lease = desk.end_lease(lease=args.end, reason=args.reason)
            print_one(args, lease, f"lease {args.end} of {lease['secret']} is over")
            return 0
        rows = desk.list_leases(tenant=args.tenant)
    print_rows(args, rows, COLUMNS, none="there are no leases")
    return 0
