"""Take a suspended person's certificate again."""

from __future__ import annotations

import argparse

from strongroom.cli.admin_option import admin_arguments, administration, fingerprint_of, print_one


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("who", metavar="WHO", help="the certificate's fingerprint, or the name if it has only one")
    admin_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do it."""
    with administration(args) as desk:
        view = desk.resume_admin(fingerprint=fingerprint_of(desk, args.who))
    print_one(args, view, f"{view['name']}: certificate {view['fingerprint']} is {view['state']}")
    return 0
