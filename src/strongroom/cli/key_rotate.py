"""Make a new version of a secret, or with --tenant-key a new key for a tenant and all its secrets under it.

Replicas get the new version from now on; the one before can be taken with key export --version N for a day. A model
version's key never changes: publish the next version instead. A crash leaves the old state or the new one.
"""

from __future__ import annotations

import argparse

from strongroom.cli.admin_option import admin_arguments, administration, print_one
from strongroom.cli.key_common import newest


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("name", metavar="NAME", nargs="?", help="secret/NAME or password/NAME")
    what.add_argument("--tenant-key", action="store_true", help="the key that wraps the tenant's secrets")
    admin_arguments(parser, tenant=True)


def run(args: argparse.Namespace) -> int:
    """Rotate."""
    with administration(args) as desk:
        if args.tenant_key:
            done = desk.rewrap_keys(tenant=args.tenant)
            sentence = f"the secrets of tenant {args.tenant} are under its key number {done['generation']}"
        else:
            done = desk.rotate_key(tenant=args.tenant, name=args.name, expected=newest(desk, args.tenant, args.name))
            sentence = f"{done['name']} has the version {done['version']}; the one before ends in a day"
    print_one(args, done, sentence)
    return 0
