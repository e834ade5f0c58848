"""Run a queue's Redis in its pod: TLS with client certificates, users of the job, certificates that renew.

It starts behind strongroom keys open --part redis, which fills --keys. Redis is not restarted when certificates change:
it is told to read them again, and connections stay open. Needs the program redis-server, 7.0 or newer.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from strongroom.clusterserving.names import DEFAULT_JOB


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--job", metavar="NAME", default=DEFAULT_JOB, help=f"the job (default: {DEFAULT_JOB})")
    parser.add_argument("--keys", metavar="DIR", type=Path, required=True, help="the opened keys of the part redis")
    parser.add_argument(
        "--ca", metavar="FILE", type=Path, help="CA certificate of the clients (default: ca.crt of --keys)"
    )
    parser.add_argument("--run", dest="memory", metavar="DIR", type=Path, required=True,
                        help="a folder in memory for users and socket")  # fmt: skip
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="where records are kept")
    parser.add_argument("--port", metavar="N", type=int, default=6379, help="(default: 6379)")
    parser.add_argument("--maxmemory", metavar="BYTES", default="256mb", help="(default: 256mb)")
    parser.add_argument("--maxmemory-file", metavar="FILE", type=Path, help="a file that says it instead")


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM, SIGINT or Redis' own end."""
    from strongroom.clusterserving.names import Job
    from strongroom.pki import disk
    from strongroom.streaming.parts.redis import RedisSettings, memory_bytes, serve

    memory = args.maxmemory
    if args.maxmemory_file is not None:
        memory = disk.read_bounded(args.maxmemory_file, limit=64).decode("ascii", "replace").strip()
    settings = RedisSettings(
        job=Job(args.job), keys=args.keys, run=args.memory, data=args.data, port=args.port,
        max_memory_bytes=memory_bytes(memory), ca=args.ca,
    )  # fmt: skip
    return serve(settings)
