"""Keep a secret that was made elsewhere.

A model's key (16 raw bytes) is kept once and never changes. Under other names the bytes become the next version; the
one before can be taken with key export --version N for a day.
"""

from __future__ import annotations

import argparse

from strongroom.cli.admin_option import admin_arguments, administration, print_one
from strongroom.cli.key_common import name_argument, newest, read_secret_file


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    name_argument(parser)
    parser.add_argument("--from", dest="source", metavar="FILE", required=True,
                        help="the bytes: a file that only you can read (0600), or - for standard input")  # fmt: skip
    admin_arguments(parser, tenant=True)


def run(args: argparse.Namespace) -> int:
    """Put it."""
    value = read_secret_file(args.source)
    with administration(args) as desk:
        expected = newest(desk, args.tenant, args.name)
        done = desk.put_key(tenant=args.tenant, name=args.name, value=value, expected=expected)
    print_one(args, done, f"{done['name']} version {done['version']} is kept: {done['bytes']} bytes")
    return 0
