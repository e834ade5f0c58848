"""Keep a queue's job on a Flink cluster, and answer probes: the master's pod of the queue's chart.

It starts behind strongroom keys open --part flink-client, which fills --keys: that certificate is what may hand jobs to
this Flink. The job is handed over once there are enough slots, and again when the job manager has forgotten it or when
--parallelism has changed. /readyz is 200 while every step of the job runs, and says why not otherwise. When the master
ends, the job goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from strongroom.cli.flink_options import environment_argument, home_of
from strongroom.cli.queue_serve import config_argument, read_config

ADDRESS = "flink-jobmanager:8081"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    config_argument(parser)
    parser.add_argument("--keys", metavar="DIR", type=Path, required=True, help="the opened keys of flink-client")
    parser.add_argument("--run", dest="memory", metavar="DIR", type=Path, required=True, help="a folder in memory")
    parser.add_argument("-m", "--jobmanager", metavar="HOST:PORT", default=ADDRESS, help=f"(default: {ADDRESS})")
    parser.add_argument("--parallelism", metavar="N", type=int, default=1, help="workers (default: 1)")
    parser.add_argument("--health-bind", metavar="HOST", default="127.0.0.1", help="(default: 127.0.0.1)")
    parser.add_argument("--health-port", metavar="N", type=int, default=8502, help="(default: 8502)")
    environment_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Look until SIGTERM or SIGINT."""
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    from strongroom.streaming.flink import queueing
    from strongroom.streaming.flink.rest import Place, Rest
    from strongroom.streaming.parts.master import Master, client_folder, keep
    from strongroom.streaming.worker.health import health_port
    from strongroom.streaming.worker.running import stopped_by_signals

    queue, home = read_config(args.config).job_name, home_of(args)
    rest = Rest(Place.of(args.jobmanager, client_folder(args.keys, args.memory)))

    class Jobs:
        def jobs(self) -> list[str]:
            return queueing.jobs_of(rest, queue)

        def start(self, parallelism: int) -> str:
            return queueing.start(rest, home, args.config, queue, parallelism=parallelism)

        def stop(self) -> list[str]:
            return queueing.stop(rest, queue)

    master = Master(rest, Jobs(), args.parallelism, tell=_say)
    async with health_port(args.health_bind, args.health_port, master.report):
        await keep(stopped_by_signals(), master.look)
    return 0


def _say(sentence: str) -> None:
    sys.stderr.write(f"strongroom: {sentence}\n")
    sys.stderr.flush()
