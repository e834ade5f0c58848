"""End the Spark cluster of spark cluster up, and remove its folder. Where none is left, there is nothing to do."""

from __future__ import annotations

import argparse
import sys

from strongroom.cli.spark_cluster_up import folder_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    folder_argument(parser)


def run(args: argparse.Namespace) -> int:
    """End it."""
    from strongroom.analytics.cluster.cluster import NoSparkCluster
    from strongroom.analytics.cluster.running import down

    try:
        ran = down(args.dir)
    except NoSparkCluster:
        sys.stdout.write(f"There is no cluster in {args.dir}.\n")
        return 0
    sys.stdout.write(f"Ended {ran} processes, and removed the cluster's files.\n")
    return 0
