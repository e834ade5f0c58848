"""Create a simulated platform: its root, PCK certificate, TCB signer and the facts of its machine.

The folder holds keys that can forge every quote of this platform. Trust its root for development only.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from strongroom.cli.sim_world import world_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("folder", metavar="DIR", nargs="?", type=Path, help="where to create it; like --world")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    world_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Create the world and print how to name it."""
    from strongroom.platforms import simulated

    simulated.refuse_beside_real_tee(allowed=args.beside_real_tee)
    folder = args.folder or args.world or simulated.default_folder(os.environ)
    world = simulated.World.create(folder, now=datetime.now(UTC))
    facts = {"folder": str(folder), "fmspc": world.fmspc, "root_key_id": world.root_key_id,
             "mr_signer": world.mr_signer.hex()}  # fmt: skip
    sys.stderr.write(f"{simulated.BANNER}\n")
    sys.stdout.write(
        f"{json.dumps(facts)}\n" if args.json else "".join(f"{name}: {value}\n" for name, value in facts.items())
    )
    return 0
