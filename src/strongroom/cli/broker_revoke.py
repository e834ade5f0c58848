"""Revoke: nothing more is released to what is named, whatever the rules say, and the leases that it holds end.

KIND and VALUE: measurement, signer (64 hex digits), platform (the ledger's hash), fmspc, pck (a certificate's serial
number), secret (a full name) or model (a name: all versions). Without --tenant it counts for all tenants.
"""

from __future__ import annotations

import argparse

from strongroom.broker.admin.operations import REVOCATION_KINDS
from strongroom.cli.admin_option import admin_arguments, administration, print_one


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("kind", metavar="KIND", choices=REVOCATION_KINDS, help=", ".join(REVOCATION_KINDS))
    parser.add_argument("value", metavar="VALUE", help="which of its kind")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why, for the ledger")
    parser.add_argument("--tenant", metavar="NAME", default="*", help="for this tenant alone (default: * for all)")
    admin_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Revoke."""
    with administration(args) as desk:
        done = desk.add_revocation(tenant=args.tenant, kind=args.kind, value=args.value, reason=args.reason)
    found = done["revocation"]
    ended = len(done["ended"])
    print_one(args, done, f"{found['kind']} {found['value']} is revoked ({found['id']}); {ended} leases ended")
    return 0
