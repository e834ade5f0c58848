"""Erase a secret for ever; its name stays taken.

What is sealed under a destroyed key cannot be opened by anyone any more. Older backups of the store may still hold it,
and the database may keep erased pages until it is compacted. Without --version, all its versions; --yes confirms.
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
    parser.add_argument("--yes", action="store_true", help="really destroy it")
    admin_arguments(parser, tenant=True)


def run(args: argparse.Namespace) -> int:
    """Destroy it."""
    from strongroom.cli.frame import Misuse

    if not args.yes:
        raise Misuse(f"{args.name} cannot be brought back once it is destroyed", fix="Add --yes to destroy it.")
    with administration(args) as desk:
        done = [
            desk.destroy_key(tenant=args.tenant, name=args.name, version=version)
            for version in ended(desk, args, states={"active", "retired"})
        ]
    print_ended(args, done, "destroyed")
    return 0
