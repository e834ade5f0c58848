"""Answer Kubernetes' autoscaler: how many requests all replicas together hold (external.metrics.k8s.io).

Runs in the pod that [deploy.autoscaling] adds. Every value is fresh: each replica behind --replicas is asked at its
health port (/load, in clear text: one number and no secret). Only the API server is answered. SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from strongroom.cli.frame import Misuse
from strongroom.cli.option_types import port


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--deployment", metavar="NAME", required=True, help="whose replicas: the metrics' label")
    parser.add_argument("--service", metavar="NAME", required=True, help="this adapter's Service")
    parser.add_argument("--namespace", metavar="NAME", required=True, help="of all of these")
    parser.add_argument("--replicas", metavar="HOST:PORT", required=True, help="headless Service and health port")
    parser.add_argument("--account", metavar="FOLDER", type=Path,
                        help="token and CA of the API server (default: where Kubernetes mounts them)")  # fmt: skip
    parser.add_argument("--address", default="0.0.0.0",  # noqa: S104  # only the API server is answered
                        help="listen here (default: 0.0.0.0)")  # fmt: skip
    parser.add_argument("--port", type=port, default=6443, help="listen on this port; 0: a free one (default: 6443)")


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from strongroom.deploy import adapter
    from strongroom.deploy.adapter_cluster import ACCOUNT, Cluster
    from strongroom.deploy.adapter_sources import InFlight, Replicas

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("strongroom.broker.http").setLevel(
        logging.WARNING
    )  # the API server and the kubelet ask all the time
    host, sign, number = args.replicas.rpartition(":")
    if not (host and sign and number.isdecimal() and 0 < int(number) < 65536):
        raise Misuse("--replicas is not HOST:PORT", fix="Name the headless Service and the replicas' health port.")
    replicas = Replicas(host=host, port=int(number))
    place = adapter.Place(
        deployment=args.deployment, service=args.service, namespace=args.namespace, address=args.address,
        port=args.port,
    )  # fmt: skip

    def ready(listening: int) -> None:
        sys.stdout.write(f"metrics adapter listens on https://{args.address}:{listening}\n")
        sys.stdout.flush()

    adapter.serve(place, Cluster.of_this_pod(args.account or ACCOUNT), [InFlight(replicas)], ready=ready)
    return 0
