"""List the tenants that you may see."""

from __future__ import annotations

import argparse

from strongroom.cli.admin_option import admin_arguments, administration, print_rows


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    admin_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """List them."""
    with administration(args) as desk:
        rows = desk.list_tenants()
    print_rows(args, rows, ("name", "state", "created_ms"), none="there are no tenants")
    return 0
