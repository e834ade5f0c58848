"""List who may administer the broker: certificates, roles and tenants."""

from __future__ import annotations

import argparse

from strongroom.cli.admin_option import admin_arguments, administration, print_rows

COLUMNS = ("name", "role", "tenant", "state", "not_after_ms", "fingerprint")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    admin_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """List them."""
    with administration(args) as desk:
        rows = desk.list_admins()
    print_rows(args, rows, COLUMNS, none="nobody is registered: strongroom broker admin add")
    return 0
