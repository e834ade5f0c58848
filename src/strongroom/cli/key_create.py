"""Make a random secret that nobody has seen.

A model's key has 16 bytes, a free secret 32, a password 32 characters. A TLS identity is made elsewhere: key put.
"""

from __future__ import annotations

import argparse

from strongroom.cli.admin_option import admin_arguments, administration, print_one
from strongroom.cli.key_common import name_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    name_argument(parser)
    admin_arguments(parser, tenant=True)


def run(args: argparse.Namespace) -> int:
    """Make it."""
    with administration(args) as desk:
        done = desk.create_key(tenant=args.tenant, name=args.name)
    print_one(args, done, f"{done['name']} is made: {done['bytes']} random bytes")
    return 0
