"""Run a deployment on a real cluster of one node, and say what held: `make kube`.

    cd tools && python -m kube [--json FILE] [--up] [--keep-logs]

Builds the servers on first use (build.sh). Exit status 0 when everything held, 1 when something did not, 75 when
this machine cannot run a cluster; the reason is printed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final, NoReturn

from kube import machine
from kube.cluster import Cluster

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


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--up", action="store_true", help="start the cluster, print how to reach it, wait for Ctrl-C")
    parser.add_argument("--keep-logs", action="store_true", help="keep the cluster's logs")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    cache = prepare()
    if cache is None:
        return CANNOT
    with Cluster(cache, keep_logs=lambda: args.keep_logs) as cluster:
        for what, seconds in cluster.seconds.items():
            say(f"{what} after {seconds:.1f} s")
        if args.up:
            say(
                f"export KUBECONFIG={cluster.kubeconfig}; run kubectl after: {' '.join(cluster.sandbox.on_network([]))}"
            )
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
