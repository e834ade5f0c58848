"""End the Flink cluster that strongroom flink up started, and remove its folder with keys, state and logs."""

from __future__ import annotations

import argparse
import sys

from strongroom.cli.flink_options import folder_argument, folder_of


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    folder_argument(parser)
    parser.add_argument("--keep-logs", action="store_true", help="leave the folder's logs where they are")


def run(args: argparse.Namespace) -> int:
    """End it."""
    from strongroom.streaming.flink import cluster

    ended = cluster.down(folder_of(args), keep_logs=args.keep_logs)
    sys.stdout.write(f"ended {ended} process{'' if ended == 1 else 'es'} of Flink\n")
    return 0
