"""Start an Apache Flink cluster on this machine: TLS inside, and a REST API that wants a client's certificate.

All ports are on the loopback address. Keys and passwords are fresh, and stand in the cluster's folder alone (0700);
strongroom flink down ends the cluster and removes it.
"""

from __future__ import annotations

import argparse
import json
import sys

from strongroom.cli.flink_options import at_least_one, environment_argument, folder_argument, folder_of, home_of
from strongroom.cli.option_types import port


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--task-managers", metavar="N", type=at_least_one, default=1, help="default: 1")
    parser.add_argument("--slots", metavar="N", type=at_least_one, default=2, help="of each (default: 2)")
    parser.add_argument("--rest-port", metavar="PORT", type=port, default=0, help="default: 0, a free one")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[],
                        help="Flink's option, as taskmanager.memory.process.size=4g; repeatable")  # fmt: skip
    folder_argument(parser)
    environment_argument(parser)
    parser.add_argument("--json", action="store_true", help="print what a machine reads")


def run(args: argparse.Namespace) -> int:
    """Start, wait, say where."""
    from strongroom.streaming.flink import cluster, settings

    size = cluster.Size(
        task_managers=args.task_managers, slots=args.slots, rest_port=args.rest_port,
        options=settings.read_options(args.set),
    )  # fmt: skip
    sys.stderr.write("starting Flink; this takes about half a minute\n")
    found = cluster.up(folder_of(args), home_of(args), size, said=lambda text: sys.stderr.write(text + "\n"))
    if args.json:
        document = {
            "rest": f"https://{found.place.host}:{found.place.port}",
            "tls_dir": str(found.folder.tls),
            "dir": str(found.folder.path),
            "processes": [{"role": each.role, "pid": each.pid} for each in found.running.processes],
        }
        sys.stdout.write(json.dumps(document) + "\n")
        return 0
    sys.stdout.write(f"Flink answers on https://{found.place.host}:{found.place.port}, to this certificate alone: "
                     f"{found.folder.tls}\n")  # fmt: skip
    return 0
