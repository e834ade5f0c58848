"""Three brokers on one PostgreSQL under load while things break, and a proof of what held all the same.

    python tools/chaos/chaos.py --seconds 60 [--seed N] [--json FILE]

Brokers are killed, the database restarts and loses its power, its disk fills, a broker's clock jumps, the collateral
source stalls; in the middle a build is revoked. Right replicas, wrong ones and replayers ask all the while. The same
seed gives the same schedule. Exit status 1 if the history breaks a rule of checker.py; its folder is kept then.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent))

import checker
import cluster as clusters
from checker import CLOCK, GOOD, WRONG, Fault, History, Rules, Violation
from load import Load

RECOVER_S: Final = 15.0
SHOWN: Final = 20  # violations that are printed
LIMIT_BYTES: Final = "8192"  # of a file, where the disk cannot be made small


class Run:
    """One run: a cluster, its load, and the faults in their order."""

    def __init__(self, cluster: clusters.Cluster, load: Load, chance: random.Random) -> None:
        self.cluster = cluster
        self.load = load
        self.faults: list[Fault] = []
        self._chance = chance
        self.kinds: dict[str, Callable[[float], int | None]] = {
            "kill": self.kill, "database": self.database, "disk": self.disk, CLOCK: self.clock,
            "collateral": self.collateral,
        }  # fmt: skip

    def go(self, seconds: float | None, *, gap_s: float) -> dict[str, int]:
        """Break one thing after the other until the time is over, or each kind once; return what was revoked where."""
        end = None if seconds is None else time.monotonic() + seconds
        revoked: dict[str, int] = {}
        self.pause(gap_s)
        waiting = self._shuffled()
        while waiting:
            self.one(waiting.pop())
            if not revoked and len(self.faults) >= 2:
                doomed = self.cluster.doomed
                revoked = {doomed.mr_enclave.hex(): self.cluster.revoke(doomed)}
                say(f"revoked a build at line {max(revoked.values())}")
            if end is not None:
                waiting = (waiting or self._shuffled()) if time.monotonic() < end else []
            if waiting:
                self.pause(gap_s)
        self._until_all_serve()
        return revoked

    def _shuffled(self) -> list[str]:
        kinds = sorted(self.kinds)
        self._chance.shuffle(kinds)
        return kinds

    def _until_all_serve(self) -> None:
        begin = time.monotonic()
        until = begin + RECOVER_S
        while time.monotonic() < until:
            self.pause(0.25)
            if len(checker.served_after(list(self.load.attempts), begin, until)) == self.cluster.count:
                break

    def one(self, kind: str) -> None:
        """Do one kind of harm and repair it."""
        begun = time.monotonic()
        broker = self.kinds[kind](0.5 + 2 * self._chance.random())
        self.faults.append(Fault(kind=kind, begun_s=begun, ended_s=time.monotonic(), broker=broker))
        what = kind if broker is None else f"{kind} (broker {broker})"
        say(f"{what}: {time.monotonic() - begun:.1f} s, {len(self.load.attempts)} attempts so far")

    def pause(self, seconds: float) -> None:
        """Let time pass, and look after what runs."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.cluster.look_after()
            time.sleep(min(0.5, max(0.0, end - time.monotonic())))

    def kill(self, seconds: float) -> int:
        """Kill a broker; start it again later."""
        broker = self._chance.choice(self.cluster.brokers)
        broker.end(signal.SIGKILL)
        self.pause(seconds)
        broker.launch()
        self.cluster.wait_ready(broker)
        return broker.number

    def database(self, seconds: float) -> None:
        """Stop the database, by order or as a power cut does, and start it again."""
        self.cluster.server.stop(self._chance.choice([signal.SIGINT, signal.SIGQUIT]))
        time.sleep(seconds)
        self.cluster.server.start()

    def disk(self, seconds: float) -> None:
        """Fill the database's disk, or what stands for that; make room again."""
        server, disk = self.cluster.server, self.cluster.disk
        if disk is None:
            clusters.limit_files(server, LIMIT_BYTES)
            time.sleep(seconds)
            clusters.limit_files(server, "unlimited")
        else:
            ballast = clusters.fill(disk)
            time.sleep(seconds)
            ballast.unlink()
        if not server.running():  # it may end when its log cannot be written: whoever runs it starts it again
            server.stop(signal.SIGQUIT)
            server.start()

    def clock(self, seconds: float) -> int:
        """Let a broker's clock jump; set it right and restart the broker, as its error says."""
        broker = self._chance.choice(self.cluster.brokers)
        ahead = self._chance.choice([-3600.0, 3600.0, -31_536_000.0, 31_536_000.0, 120.0])
        draft = broker.offset.with_suffix(".draft")
        draft.write_text(str(ahead), encoding="ascii")
        draft.replace(broker.offset)
        self.pause(seconds + 1)
        broker.end(signal.SIGTERM)
        broker.offset.unlink()
        broker.launch()
        self.cluster.wait_ready(broker)
        return broker.number

    def collateral(self, seconds: float) -> None:
        """Stall the collateral source."""
        self.cluster.wire.stall()
        self.pause(seconds)
        self.cluster.wire.flow()


def clients(cluster: clusters.Cluster, load: Load) -> None:
    """Start all clients."""
    for number in range(3):
        load.add(f"gramine {number}", load.gramine(lambda: cluster.platform(cluster.good), GOOD))
    for number in range(2):
        load.add(f"kbs {number}", load.kbs(lambda: cluster.platform(cluster.good), GOOD))
    load.add("doomed", load.gramine(lambda: cluster.platform(cluster.doomed), "doomed"))
    load.add("unknown build", load.gramine(lambda: cluster.platform(cluster.unknown), WRONG))
    load.add("unknown build, kbs", load.kbs(lambda: cluster.platform(cluster.unknown), WRONG))
    load.add("foreign platform", load.gramine(lambda: cluster.platform(cluster.good, foreign=True), WRONG))
    load.add("replayer", load.replayer(lambda: cluster.platform(cluster.good)))


def run(folder: Path, *, seconds: float | None, seed: int, gap_s: float) -> tuple[History, list[Violation]]:
    """Run one schedule; return what was recorded, and which rules it breaks."""
    with clusters.Cluster(folder) as cluster:
        load = Load(cluster.target(), seed)
        clients(cluster, load)
        try:
            working = Run(cluster, load, random.Random(seed))  # noqa: S311  # a schedule, not a secret
            revoked = working.go(seconds, gap_s=gap_s)
        finally:
            load.stop()
        ended = time.monotonic()
        cluster.look_after()
        for broker in cluster.brokers:
            broker.end(signal.SIGTERM)
        history = History(
            attempts=load.attempts, faults=working.faults, heads=cluster.heads, lines=cluster.lines(),
            exits=cluster.exits, ended_s=ended,
        )  # fmt: skip
        rules = Rules(
            digest=cluster.digest,
            measurements=frozenset(each.mr_enclave.hex() for each in (cluster.good, cluster.doomed)),
            recover_s=RECOVER_S, brokers=cluster.count, revoked=revoked,
        )  # fmt: skip
    return history, checker.check(history, rules)


def say(text: str) -> None:
    """Tell a person how far it is."""
    sys.stderr.write(f"chaos: {text}\n")
    sys.stderr.flush()


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long things break (default: 60)")
    parser.add_argument("--once", action="store_true", help="break each kind of thing once, however long it takes")
    parser.add_argument("--seed", type=int, default=None, help="of the schedule (default: a new one, printed)")
    parser.add_argument("--gap", type=float, default=3.0, help="seconds between two faults (default: 3)")
    parser.add_argument("--json", type=Path, help="write numbers and violations here")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else int.from_bytes(os.urandom(4))
    say(f"seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="strongroom-chaos-"))
    history, violations = run(folder, seconds=None if args.once else args.seconds, seed=seed, gap_s=args.gap)
    found = {"seed": seed, **checker.summary(history), "violations": [asdict(each) for each in violations[:SHOWN]]}
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    if violations:
        say(f"{len(violations)} violations; the logs are in {folder}")
        return 1
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
