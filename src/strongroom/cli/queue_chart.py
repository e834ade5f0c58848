"""Write the Helm chart of a queue, and its values for this workspace's deployment.

The chart has the shape of the reference guide's: Redis, master, front end, and with --runner flink a job manager and
task managers. What comes out holds no secret; keys are made by strongroom keys generate and keys password.

  strongroom queue chart --out queue
  helm install queue queue/chart --values queue/chart/values-small.yaml --values queue/values.yaml
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strongroom.cli.workspace_option import open_workspace, workspace_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder, or one written before")
    parser.add_argument("--runner", choices=["process", "flink"], default="process", help="(default: process)")
    parser.add_argument("--mode", choices=["sgx", "nonsgx", "simulated"],
                        help="sgx.mode (default: what [deploy] tee says); nonsgx protects nothing")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Render and write."""
    from strongroom.deploy.cluster_serving.chart import render
    from strongroom.deploy.opening import open_deployment
    from strongroom.deploy.writing import write

    deployment = open_deployment(open_workspace(args))
    tree = render(deployment.description, deployment.profile, runner=args.runner, mode=args.mode)
    removed = write(tree, args.out)
    if args.json:
        sys.stdout.write(json.dumps({"folder": str(args.out), "files": sorted(tree), "removed": removed}) + "\n")
        return 0
    name = deployment.description.namespace
    sys.stdout.write(
        f"wrote {len(tree)} files to {args.out}\n"
        f"  keys: kubectl --namespace {name} apply -f keys/keys.yaml -f password/password.yaml\n"
        f"  then: helm --namespace {name} install queue {args.out}/chart --values {args.out}/values.yaml\n"
    )
    return 0
