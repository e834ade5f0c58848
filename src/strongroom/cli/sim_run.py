"""Measure a program, start it, and quote for it until it ends.

The program sees the environment its manifest declares and STRONGROOM_QUOTE_FD, a socket over which it may ask for
quotes; `strongroom serve` and the broker's client find it by themselves. SIGTERM, SIGINT and SIGHUP are passed on. The
exit status is the program's own, or 128 + N when signal N ended it. With --tee tdx the program is measured as a trust
domain, and its quotes are TDX's.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from strongroom.cli.frame import Misuse
from strongroom.cli.sim_world import open_world, read_manifest, tee_argument, world_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("manifest", metavar="MANIFEST", type=Path, help="TOML in Gramine's manifest vocabulary")
    tee_argument(parser)
    parser.add_argument(
        "--quote-version", metavar="N", type=int, choices=(3, 4, 5), help="3 to 5 for SGX (default 3), 4 or 5 for TDX "
        "(default 4); TDX quotes of version 5 carry TD reports of version 1.5"
    )  # fmt: skip
    parser.add_argument(
        "--relaunch-due", action="store_true", help="rehearse a trust domain launched under an older TDX module: "
        "TDRelaunchAdvised in version 5, OutOfDate in version 4"
    )  # fmt: skip
    world_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Launch and wait."""
    from strongroom.attestation import Tee
    from strongroom.platforms import simulated

    tee = Tee[args.tee.upper()]
    if tee is Tee.TDX and args.quote_version == 3:
        raise Misuse("there are no TDX quotes of version 3", fix="Say --quote-version 4 or 5.")
    if args.relaunch_due and tee is not Tee.TDX:
        raise Misuse("--relaunch-due is about trust domains", fix="Add --tee tdx.")
    manifest = read_manifest(args.manifest)
    world = open_world(args)
    sys.stderr.write(f"{simulated.BANNER}\n")
    launch_as = simulated.LaunchAs(tee=tee, quote_version=args.quote_version, relaunch_due=args.relaunch_due)
    return simulated.run(manifest, args.manifest.parent, world, os.environ, launch_as)
