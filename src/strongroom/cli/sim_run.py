"""Measure a program, start it, and quote for it until it ends.

The program sees the environment its manifest declares and STRONGROOM_QUOTE_FD, a socket over which it may ask for
quotes; `strongroom serve` and the broker's client find it by themselves. SIGTERM, SIGINT and SIGHUP are passed on. The
exit status is the program's own, or 128 + N when signal N ended it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from strongroom.cli.sim_world import open_world, read_manifest, world_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("manifest", metavar="MANIFEST", type=Path, help="TOML in Gramine's manifest vocabulary")
    world_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Launch and wait."""
    from strongroom.platforms import simulated

    manifest = read_manifest(args.manifest)
    world = open_world(args)
    sys.stderr.write(f"{simulated.BANNER}\n")
    return simulated.run(manifest, args.manifest.parent, world, os.environ)
