"""Print the measurement that a manifest would launch with, as Gramine's tools print it.

It covers the entrypoint, the arguments, the environment that is passed, and the trusted files: whoever changes one of
them gets another mr_enclave (with --tee tdx: another mr_td). Put the numbers into the policy that releases a secret to
this program.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from strongroom.cli.sim_world import open_world, read_manifest, tee_argument, world_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("manifest", metavar="MANIFEST", type=Path, help="TOML in Gramine's manifest vocabulary")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    tee_argument(parser)
    world_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from strongroom.platforms import simulated

    manifest = read_manifest(args.manifest)
    world = open_world(args)
    base = args.manifest.parent
    if args.tee == "tdx":
        found = simulated.measure_td(manifest, base, os.environ).to_json_object()
    else:
        found = simulated.measure(manifest, base, os.environ, mr_signer=world.mr_signer).to_json_object()
    if found["debug"]:
        sys.stderr.write("sgx.debug is true: policies refuse debug builds unless they allow them by name\n")
    lines = [f"{name}: {value}\n" for name, value in found.items() if name != "debug"]
    sys.stdout.write(f"{json.dumps(found)}\n" if args.json else "".join(lines))
    return 0
