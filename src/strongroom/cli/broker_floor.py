"""List the models' floors, or raise one: versions of MODEL below VERSION are released to nobody any more.

A floor never falls: nobody brings an old model back by putting yesterday's files in place.
"""

from __future__ import annotations

import argparse

from strongroom.cli.admin_option import admin_arguments, administration, print_one, print_rows
from strongroom.cli.workspace_option import positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("model", metavar="MODEL", nargs="?", help="the model's name")
    parser.add_argument("version", metavar="VERSION", nargs="?", type=positive, help="its least version from now on")
    admin_arguments(parser, tenant=True)


def run(args: argparse.Namespace) -> int:
    """List or raise."""
    from strongroom.cli.frame import Misuse

    if (args.model is None) != (args.version is None):
        raise Misuse("MODEL and VERSION go together", fix="Give both to raise a floor, none to list the floors.")
    with administration(args) as desk:
        if args.model is not None:
            done = desk.raise_floor(tenant=args.tenant, model=args.model, version=args.version)
            print_one(args, done, f"no version of {args.model} below {done['min_version']} is released any more")
            return 0
        rows = desk.list_floors(tenant=args.tenant)
    print_rows(args, rows, ("model", "min_version", "author", "set_ms"), none="no model has a floor")
    return 0
