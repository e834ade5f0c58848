"""Make a tenant: policy, keys and leases of its own. Nothing is released to it before it has a policy.

Its replicas reach it by the TLS server name NAME.HOST (Gramine's protocol), or by naming it in the KBS path.
"""

from __future__ import annotations

import argparse

from strongroom.cli.admin_option import admin_arguments, administration, print_one


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="1 to 63 small letters, digits and dashes")
    admin_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make it."""
    with administration(args) as desk:
        made = desk.create_tenant(tenant=args.name)
    print_one(
        args, made, f"tenant {args.name} is there; give it a policy: strongroom tenant policy {args.name} --put FILE"
    )
    return 0
