"""Show each replica: where it runs, what it measured, until when it holds its key, and why it is not ready.

What Kubernetes says of a pod is joined with what the replica says of itself and with what the broker knows of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from strongroom.cli.deploy_options import broker_arguments, broker_of, cluster_arguments, open_cluster, tell

if TYPE_CHECKING:
    from strongroom.broker.admin.desk import Desk
    from strongroom.deploy.cluster.deployment import Deployment
    from strongroom.deploy.cluster.looking import Seen
    from strongroom.deploy.cluster.replicas import Proof, Replica

WATCH_S = 2.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    cluster_arguments(parser)
    broker_arguments(parser)
    parser.add_argument("--watch", action="store_true", help="go on showing it, until interrupted")
    parser.add_argument("--no-broker", action="store_true", help="do not ask the broker")


def run(args: argparse.Namespace) -> int:
    """Look and print."""
    from strongroom.deploy.cluster.api_proxy import api
    from strongroom.deploy.cluster.looking import look
    from strongroom.deploy.cluster.replica_metrics import ReplicaMetrics
    from strongroom.deploy.cluster.waiting import replicas_of

    deployment = open_cluster(args)
    with ExitStack() as stack:
        server = stack.enter_context(api(deployment.kubectl))
        metrics = stack.enter_context(ReplicaMetrics(deployment))
        seen = look(server, deployment.description, read=metrics.read)
        desk = open_desk(args, deployment, seen, stack)
        while True:
            known = proofs_of(desk) if desk is not None else {}
            rows = replicas_of(seen, None, proofs=known)
            show(args, deployment, seen, rows)
            if not args.watch:
                return 0
            time.sleep(WATCH_S)
            seen = look(server, deployment.description, read=metrics.read)


def open_desk(args: argparse.Namespace, deployment: Deployment, seen: Seen, stack: ExitStack) -> Desk | None:
    """Return the broker's administration, or say why there is none: the table is of use without it."""
    from strongroom.deploy.kubernetes.naming import BROKER
    from strongroom.errors import StrongroomError

    if args.no_broker:
        return None
    inside = deployment.description.broker is None and args.broker is None
    if inside and not any(each.ready for each in seen.of(BROKER)):
        tell("notice: the broker is not asked: its pod is not ready")
        return None
    try:
        return stack.enter_context(broker_of(args, deployment))
    except (StrongroomError, OSError) as problem:
        tell(f"notice: the broker is not asked: {problem}")
        return None


def proofs_of(desk: Desk) -> dict[str, Proof]:
    """Return what the broker knows of its peers."""
    from strongroom.deploy.cluster.broker_desk import newest_decisions
    from strongroom.deploy.cluster.replicas import proofs

    return proofs(desk.list_leases(), newest_decisions(desk), now=datetime.now(UTC))


def show(args: argparse.Namespace, deployment: Deployment, seen: Seen, rows: tuple[Replica, ...]) -> None:
    """Print one look."""
    if args.json:
        sys.stdout.write(json.dumps(as_json(deployment, seen, rows)) + "\n")
    else:
        sys.stdout.write(
            ("\x1b[H\x1b[2J" if args.watch and sys.stdout.isatty() else "") + "\n".join(lines(rows)) + "\n"
        )
    sys.stdout.flush()


def lines(rows: tuple[Replica, ...]) -> Iterator[str]:
    """Yield the table, then what to do about those that are not ready."""
    from strongroom.deploy.cluster.replicas import table

    if not rows:
        yield "there are no replicas: strongroom deploy apply makes them"
        return
    cells = table(rows)
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for line in cells:
        yield "  ".join(each.ljust(width) for each, width in zip(line, widths, strict=True)).rstrip()
    for fix in dict.fromkeys(f"{each.pod}: {each.fix}" for each in rows if each.fix):
        yield f"  -> {fix}"


def as_json(deployment: Deployment, seen: Seen, rows: tuple[Replica, ...]) -> dict[str, Any]:
    """Return the look as JSON can write it."""
    workload = seen.workload(deployment.model_server)
    return {
        "at": seen.at.isoformat(),
        "name": deployment.description.name,
        "namespace": deployment.description.namespace,
        "wanted": workload.wanted if workload else 0,
        "ready": workload.ready if workload else 0,
        "replicas": [each.to_json_object() for each in rows],
    }
