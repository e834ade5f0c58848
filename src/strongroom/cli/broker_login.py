"""Print an address that opens the broker's console once, within five minutes, as the person who asked.

The code stands behind the # of the address, which no browser sends and no server logs.
"""

from __future__ import annotations

import argparse
import json
import sys

from strongroom.cli.admin_option import admin_arguments, administration, cell

DEFAULT_PORT = 8443


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--console",
        metavar="URL",
        help="the admin port's address (default: --broker, or this machine at strongroom.toml's admin_port, else 8443)",
    )
    admin_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for a code, and print the address."""
    with administration(args) as desk:
        login = desk.create_login()
    base = (args.console or args.broker or f"https://localhost:{_port(args)}").rstrip("/")
    url = f"{base}/console/login#{login['token']}"
    if args.json:
        sys.stdout.write(json.dumps({"url": url, "expires_ms": login["expires_ms"]}) + "\n")
        return 0
    sys.stdout.write(url + "\n")
    sys.stderr.write(f"works once, until {cell('expires_ms', login['expires_ms'])}\n")
    return 0


def _port(args: argparse.Namespace) -> int:
    from strongroom.cli.workspace_option import open_workspace

    return open_workspace(args).settings.broker.admin_port or DEFAULT_PORT
