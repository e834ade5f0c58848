"""Run a deployment on a real cluster of one node, and say what held: `make kube`.

    cd tools && python -m kube [--json FILE] [--up] [--keep-logs] [--only-queue [--runner flink] | --only-spark]

Builds the servers on first use (build.sh). Exit status 0 when everything held, 1 when something did not, 75 when
this machine cannot run a cluster; the reason is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

from kube import machine
from kube.cluster import Cluster
from kube.results import Results, measures, read_calls, table
from kube.sandbox import SandboxFailed
from kube.story import tell, tell_of_flink, tell_of_spark

HERE: Final = Path(__file__).resolve().parent
CANNOT: Final = 75  # EX_TEMPFAIL: not a failure of what is tested


def say(text: str) -> None:
    """Tell a person how far it is."""
    sys.stderr.write(f"kube: {text}\n")
    sys.stderr.flush()


def prepare() -> Path | None:
    """Install and build what is missing; return the cache, or None when this machine cannot run a cluster."""
    packages = machine.missing_packages()
    if packages and os.geteuid() == 0:
        say(f"installing {' '.join(packages)}")
        subprocess.run([str(HERE / "install.sh"), *packages], check=True, stdout=subprocess.DEVNULL)
    elif packages:
        say(f"missing here: {' '.join(packages)}; as root, apt-get install them")
        return None
    found = machine.obstacles()
    for each in found:
        say(f"cannot run a cluster here: {each}")
    if found:
        return None
    cache = machine.cache_folder(os.environ)
    if machine.missing_servers(cache):
        subprocess.run([str(HERE / "build.sh")], check=True, stdout=sys.stderr)
    return cache


def leave(number: int, _frame: object) -> NoReturn:
    """End as Ctrl-C does, so that the cluster is taken away."""
    raise SystemExit(128 + number)


def arguments() -> argparse.Namespace:
    """Read the words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--up", action="store_true", help="start the cluster, print how to reach it, wait for Ctrl-C")
    parser.add_argument("--keep-logs", action="store_true", help="keep the cluster's logs")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--only-queue", action="store_true", help="install and use the queue's chart, nothing else")
    only.add_argument(
        "--only-spark", action="store_true", help="install and use the chart of a Spark job, nothing else"
    )
    parser.add_argument("--runner", choices=["process", "flink"], default="process",
                        help="flink, with --only-queue: the queue's workers run on Flink, without any TEE")  # fmt: skip
    args = parser.parse_args()
    if args.runner == "flink" and not args.only_queue:
        parser.error("--runner flink goes with --only-queue")
    return args


def run(args: argparse.Namespace, cluster: Cluster, results: Results) -> None:
    """Do what was asked for, on a cluster that has started; what breaks it off is in the results."""
    try:
        if args.runner == "flink":
            tell_of_flink(cluster, results, say)
        elif args.only_spark:
            tell_of_spark(cluster, results, say)
        else:
            tell(cluster, results, say, only_queue=args.only_queue)
    except (SandboxFailed, subprocess.SubprocessError) as problem:
        say(str(problem))
        results.check("the run came to its end", False, problem)


def main() -> int:
    """Run and report."""
    args = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    cache = prepare()
    if cache is None:
        return CANNOT
    results, calls = Results(), []
    cluster = Cluster(cache, keep_logs=lambda: args.keep_logs or not (args.up or results.held))
    try:
        with cluster:
            _note_start(cluster, results)
            if args.up:
                say(f"KUBECONFIG={cluster.kubeconfig}, on this network: {' '.join(cluster.sandbox.on_network([]))}")
                signal.pause()
            run(args, cluster, results)
            calls = read_calls(cluster.folder / "calls.jsonl")
            began = time.monotonic()
    finally:
        left = cluster.leftovers()
    results.check(
        "nothing is left on this machine", not left, left or f"taken away in {time.monotonic() - began:.1f} s"
    )
    for line in table(results, calls):
        sys.stdout.write(f"{line}\n")
    if args.json:
        args.json.write_text(json.dumps(measures(results, calls), indent=2) + "\n", encoding="utf-8")
    if not results.held:
        say(f"something did not hold; the logs are in {cluster.folder}/log")
    return 0 if results.held else 1


def _note_start(cluster: Cluster, results: Results) -> None:
    with results.phase("cluster") as phase:
        phase.times.update(cluster.seconds)
        phase.began -= max(cluster.seconds.values())
    say(f"the cluster is up after {max(cluster.seconds.values()):.1f} s")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("interrupted; everything was taken away")
        sys.exit(130)
