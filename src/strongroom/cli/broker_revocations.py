"""List the revocations in force."""

from __future__ import annotations

import argparse

from strongroom.cli.admin_option import admin_arguments, administration, print_rows

COLUMNS = ("id", "tenant", "kind", "value", "author", "created_ms", "reason")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--tenant", metavar="NAME", help="only what touches this tenant")
    admin_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """List them."""
    with administration(args) as desk:
        rows = desk.list_revocations(tenant=args.tenant)
    print_rows(args, rows, COLUMNS, none="nothing is revoked")
    return 0
