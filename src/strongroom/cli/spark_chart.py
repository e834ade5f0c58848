"""Write a Spark job for Kubernetes: a Helm chart with its values, and the same objects as plain manifests.

[deploy.spark] in strongroom.toml says what the job runs; its image is built by strongroom deploy build spark. What
comes out holds no secret: the driver and its executors get theirs from the broker, once they have proved what they are.

  strongroom spark chart --out job --pvc people
  helm install count job/chart --values job/values.yaml
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Final

from strongroom.cli.frame import Misuse
from strongroom.cli.workspace_option import open_workspace, workspace_argument

_CLAIM: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder, or one written before")
    parser.add_argument("--pvc", metavar="NAME", default="",
                        help="the PersistentVolumeClaim that the job sees at /data (default: none)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Render and write."""
    from strongroom.deploy.opening import open_deployment
    from strongroom.deploy.spark import render
    from strongroom.deploy.spark.words import job_of
    from strongroom.deploy.writing import write

    if args.pvc and not _CLAIM.fullmatch(args.pvc):
        raise Misuse(f"--pvc {args.pvc[:80]!r} is no name of a claim", fix="Name an object of Kubernetes.")
    workspace = open_workspace(args)
    deployment = open_deployment(workspace)
    description = deployment.description
    tree = render(description, deployment.profile, pvc=args.pvc)
    removed = write(tree, args.out)
    if args.json:
        sys.stdout.write(json.dumps({"folder": str(args.out), "files": sorted(tree), "removed": removed}) + "\n")
        return 0
    job, space = job_of(description), description.namespace
    released = " ".join(
        f"--trust secret/{name}" for name in (f"spark-{job.name}", *(f"data-{key}" for key in job.keys))
    )
    sys.stdout.write(
        f"wrote {len(tree)} files to {args.out}\n"
        f"  image: strongroom deploy build spark {released} --push\n"
        f"  then:  helm --namespace {space} install {job.name} {args.out}/chart --values {args.out}/values.yaml\n"
        f"  or:    kubectl apply --filename {args.out}/manifests\n"
    )
    return 0
