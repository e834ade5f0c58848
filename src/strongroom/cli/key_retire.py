"""Give a secret out no more; its value stays in the store, wrapped.

Without --version, all its versions. Leases that are out run on to their end: revoke the secret to end them at once.
"""

from __future__ import annotations

import argparse

from strongroom.cli.admin_option import admin_arguments, administration
from strongroom.cli.key_common import ended, name_argument, print_ended
from strongroom.cli.workspace_option import positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    name_argument(parser)
    parser.add_argument("--version", type=positive, metavar="N", help="this version alone")
    admin_arguments(parser, tenant=True)


def run(args: argparse.Namespace) -> int:
    """Retire it."""
    with administration(args) as desk:
        done = [
            desk.retire_key(tenant=args.tenant, name=args.name, version=version)
            for version in ended(desk, args, states={"active"})
        ]
    print_ended(args, done, "retired")
    return 0
