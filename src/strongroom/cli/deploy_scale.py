"""Run N replicas: wait until each new one has proved itself; those that leave finish their requests first."""

from __future__ import annotations

import argparse
import json
import sys

from strongroom.cli.deploy_options import cluster_arguments, open_cluster, tell, timeout_argument
from strongroom.cli.workspace_option import positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("replicas", metavar="N", type=positive, help="how many")
    cluster_arguments(parser)
    timeout_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Scale and wait."""
    from strongroom.deploy.cluster.api_proxy import api
    from strongroom.deploy.cluster.scaling import scale
    from strongroom.deploy.cluster.waiting import Waiting

    deployment = open_cluster(args)
    before = scale(deployment, args.replicas)
    tell(f"{deployment.model_server}: {before} -> {args.replicas} replicas")
    with api(deployment.kubectl) as server:
        found = Waiting(deployment, server, tell, args.timeout).until_ready(args.replicas)
    if args.replicas != deployment.description.replicas:
        tell(f"notice: strongroom.toml says replicas = {deployment.description.replicas}: deploy apply goes back to it")
    done = {"before": before, "wanted": args.replicas, "ready": found.ready}
    sys.stdout.write(json.dumps(done) + "\n" if args.json else f"{found}\n")
    return 0
