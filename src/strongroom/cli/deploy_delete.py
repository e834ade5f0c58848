"""Take a deployment out of its cluster: it names what goes, and asks.

The broker's volumes and the namespace stay unless --all is said.
"""

from __future__ import annotations

import argparse
import json
import sys

from strongroom.cli.deploy_options import cluster_arguments, open_cluster
from strongroom.errors import Refused


class NotConfirmed(Refused):
    """Nothing was deleted, because nobody said yes."""

    code = "SR-DELETE-NOT-CONFIRMED"
    fix = "Answer yes, or give --yes where nobody can be asked."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    cluster_arguments(parser)
    parser.add_argument("--all", action="store_true", help="also the broker's volumes and the namespace")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    """Name, ask, delete."""
    from strongroom.deploy.cluster.deleting import delete, doomed
    from strongroom.deploy.cluster.objects import text

    deployment = open_cluster(args)
    found = doomed(deployment, everything=args.all)
    names = [f"{text(each, 'kind')}/{text(each, 'metadata', 'name')}" for each in found]
    if not args.json:
        sys.stdout.writelines(f"{name}\n" for name in names or ["there is nothing to delete"])
    if found and not args.yes:
        confirm(len(found), deployment.description.namespace)
    delete(deployment, found)
    if args.json:
        sys.stdout.write(json.dumps({"deleted": names}) + "\n")
    return 0


def confirm(count: int, namespace: str) -> None:
    """Ask whoever sits there. Raises NotConfirmed."""
    if not sys.stdin.isatty():
        raise NotConfirmed(f"{count} objects of the namespace {namespace} were to be deleted")
    sys.stderr.write(f"delete these {count} objects from the namespace {namespace}? (yes/no) ")
    sys.stderr.flush()
    if sys.stdin.readline(16).strip().lower() not in {"yes", "y"}:
        raise NotConfirmed("the answer was not yes")
