"""Say whether a Spark cluster runs, and who came to work in it: who proved himself, and who was refused.

Exit status 3 where an executor was refused since the cluster's start, 4 where a process of it has ended.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from strongroom.cli.spark_cluster_up import folder_argument
from strongroom.errors import Refused, Unreachable


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    folder_argument(parser)
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def run(args: argparse.Namespace) -> int:
    """Look, and say."""
    from strongroom.analytics.cluster.cluster import Cluster
    from strongroom.serving.operations import detached

    cluster = Cluster.of(args.dir)
    arrivals, settings = cluster.arrivals(), cluster.record.settings
    parts = [(each.role, each.pid, detached.alive(each)) for each in cluster.record.processes]
    if args.json:
        facts = {"master": settings.master, "runs": cluster.runs, "arrivals": [asdict(each) for each in arrivals],
                 "processes": [{"role": role, "pid": pid, "runs": runs} for role, pid, runs in parts]}  # fmt: skip
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        sys.stdout.write(f"{settings.master}, job {settings.job}, keys: {', '.join(settings.keys) or 'none'}\n")
        for role, pid, runs in parts:
            sys.stdout.write(f"  {role}: {f'runs as process {pid}' if runs else 'has ended'}\n")
        for each in arrivals:
            sys.stdout.write(f"  {each}\n")
    if not cluster.runs:
        return Unreachable.exit_status
    return 0 if all(each.admitted for each in arrivals) else Refused.exit_status
