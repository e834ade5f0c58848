"""End what queue up --detach has started."""

from __future__ import annotations

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("-c", "--config", metavar="FILE", help="config.yaml")


def run(args: argparse.Namespace) -> int:
    """Run until SIGINT or SIGTERM."""
    return 0
