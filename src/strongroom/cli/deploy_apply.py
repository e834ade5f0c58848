"""Render, check, show what changes, apply, and wait until every replica has proved itself.

The broker of a simulated deployment gets its workspace through kubectl exec into its pod's memory, never in an object.
Exit status 3 when the broker refuses the replicas, 4 when the cluster cannot be reached or time is over.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from strongroom.cli.deploy_options import cluster_arguments, open_cluster, tell, timeout_argument

if TYPE_CHECKING:
    from strongroom.deploy.cluster.applying import Plan
    from strongroom.deploy.cluster.deployment import Deployment


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    cluster_arguments(parser)
    timeout_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the replicas")
    parser.add_argument("--force", action="store_true", help="take over fields that somebody else has set")
    parser.add_argument("--helm", action="store_true", help="install the chart with helm, in the place of kubectl")


def run(args: argparse.Namespace) -> int:
    """Apply."""
    from strongroom.deploy.cluster import applying
    from strongroom.deploy.cluster.deployment import for_cluster

    deployment = for_cluster(open_cluster(args))
    objects = applying.rendered(deployment, now=datetime.now(UTC))
    plan = applying.plan(deployment.kubectl, deployment.description.name, objects)
    if not args.json:
        show(plan)
    if not args.dry_run:
        if args.helm:
            from strongroom.deploy.cluster.helm import install

            install(deployment, timeout_s=args.timeout)
        else:
            applying.carry_out(deployment.kubectl, plan, force=args.force)
    ready = None if args.dry_run else await_replicas(args, deployment)
    if args.json:
        done = {"changes": [each.to_json_object() for each in plan.changes], "applied": not args.dry_run}
        sys.stdout.write(json.dumps({**done, "ready": ready}) + "\n")
    return 0


def show(plan: Plan) -> None:
    """Print what changes."""
    if plan.empty:
        sys.stdout.write("nothing changes\n")
    sys.stdout.writelines(f"{each}\n" for each in plan.changes if each.fate.value != "same")
    sys.stdout.flush()


def await_replicas(args: argparse.Namespace, deployment: Deployment) -> int | None:
    """Wait for the replicas and return how many are ready; None where nobody waits."""
    from strongroom.deploy.cluster.api_proxy import api
    from strongroom.deploy.cluster.waiting import Waiting

    if args.no_wait:
        return None
    with api(deployment.kubectl) as server:
        return Waiting(deployment, server, tell, args.timeout).until_ready().ready
