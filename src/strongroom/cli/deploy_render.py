"""Render manifests, chart, Gramine manifests, container files and fronts from the [deploy] table of strongroom.toml."""

from __future__ import annotations

import argparse
from pathlib import Path

from strongroom.cli.workspace_option import workspace_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("deploy"), help="(default: deploy)")
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Render, write, and print what to do next."""
    from strongroom.deploy.clouds import GENERIC
    from strongroom.deploy.description import Description
    from strongroom.deploy.rendering import render
    from strongroom.deploy.writing import write

    write(render(Description(), GENERIC), args.out)
    return 0
