"""Release to a suspended tenant's replicas again, by its rules."""

from __future__ import annotations

import argparse

from strongroom.cli.admin_option import admin_arguments, administration, print_one


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="the tenant")
    admin_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do it."""
    with administration(args) as desk:
        tenant = desk.resume_tenant(tenant=args.name)
    print_one(args, tenant, f"tenant {args.name} is active")
    return 0
