"""Work on a queue as a job of a Flink cluster: the same worker as queue serve, placed, scaled and restarted by Flink.

Each of the N parallel workers is a Python process of a task manager. config.yaml, and the files it names, have to be at
the same place on every task manager. Where keys come from a broker and task managers are plain processes, --launch
starts a measured worker beside each. --stop lets the workers finish what they have in hand.
"""

from __future__ import annotations

import argparse
import json
import sys

from strongroom.cli.flink_options import at_least_one, environment_argument, home_of, place_arguments, place_of
from strongroom.cli.queue_serve import config_argument, read_config

FLINKS_OWN = "localhost:8081"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    config_argument(parser)
    parser.add_argument("--parallelism", metavar="N", type=at_least_one, default=1, help="workers (default: 1)")
    parser.add_argument("--launch", metavar="COMMAND", default="",
                        help="launches a measured worker on a task manager, as 'gramine-sgx worker'")  # fmt: skip
    parser.add_argument("--stop", action="store_true", help="end the job that serves this queue, and wait for its end")
    place_arguments(parser)
    environment_argument(parser)
    parser.add_argument("--json", action="store_true", help="print what a machine reads")


def run(args: argparse.Namespace) -> int:
    """Submit or stop the job."""
    from strongroom.streaming.flink import launching, queueing
    from strongroom.streaming.flink.rest import Rest

    config = read_config(args.config)
    if args.launch:
        launching.words_of(args.launch)
    if args.jobmanager is None and args.dir is None and config.flink_rest_url != FLINKS_OWN:
        args.jobmanager = config.flink_rest_url
    if args.jobmanager is None and not args.stop:  # a cluster of flink up, whose processes are plain ones
        launching.check_proven(config, None, args.launch)
    rest = Rest(place_of(args))
    if args.stop:
        jobs = queueing.stop(rest, config.job_name)
    else:
        job = queueing.start(
            rest, home_of(args), args.config, config.job_name, parallelism=args.parallelism, launch=args.launch,
            until_open=not config.wait_for_key,
        )  # fmt: skip
        jobs = [job]
    if args.json:
        sys.stdout.write(json.dumps({"jobs": jobs, "queue": config.job_name}) + "\n")
        return 0
    for job in jobs:
        sys.stdout.write(f"JobID {job} {'has ended' if args.stop else 'serves'} {config.job_name}\n")
    return 0
