"""Three brokers on one PostgreSQL under load while things break, and a proof of what held all the same.

    python tools/chaos/chaos.py --seconds 60 [--seed N] [--json FILE]

One broker is killed, stopped for a while, cut off from the database, has its clock jump, or starts without collateral
while the source stalls; the database restarts, crashes, loses its power, its disk or its speed, or the source stalls;
or one of each at once. In the middle a build is revoked. Right replicas, wrong ones and replayers ask all the while,
more of them than a limit allows. The same seed gives the same schedule. Exit status 1 if the history breaks a rule of
checker.py; its folder is kept then. mutants.py shows that broken brokers are found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent))

import checker
import cluster as clusters
from checker import GOOD, WRONG, Fault, History, Rules, Violation
from faults import Faults
from load import Load

RECOVER_S: Final = 20.0
SHOWN: Final = 20  # violations that are printed
AT_ONCE: Final = 0.4  # how often two things break together
ONCE: Final = ("kill+collateral", "clock+database", "cold+slow", "partition+disk", "pause+crash")
KINDS: Final = tuple(sorted("+".join(ONCE).split("+")))
MUST_NOT: Final = {("cold", "collateral")}  # both hold the same wire


class Run:
    """One run: a cluster, its load, and the faults in their order."""

    def __init__(
        self, cluster: clusters.Cluster, load: Load, chance: random.Random, *, once: bool, kinds: frozenset[str]
    ) -> None:
        self.cluster = cluster
        self.load = load
        self.faults: list[Fault] = []
        self.revoked: dict[str, int] = {}
        self.revoked_s = float("inf")
        self._chance = chance
        self._once = once
        self._wanted = kinds
        self._kinds = Faults(cluster, long=not once)

    def go(self, seconds: float, *, gap_s: float) -> None:
        """Break one thing after the other until the time is over, or each kind once."""
        end = time.monotonic() + seconds
        self._until_all_serve()
        for count, names in enumerate(self._once_each() if self._once else self._schedule()):
            self.pause(gap_s * self._chance.random() * 2)
            self._break(names)
            self._until_all_serve()
            if count == 1:
                self._revoke()
            if not self._once and time.monotonic() > end:
                break
        if not self.revoked:
            self._revoke()
        self.pause(1)

    def _once_each(self) -> Iterator[tuple[str, ...]]:
        pairs = list(ONCE)
        self._chance.shuffle(pairs)
        for pair in pairs:
            yield tuple(pair.split("+"))

    def _schedule(self) -> Iterator[tuple[str, ...]]:
        """Yield what breaks next, for ever: each kind comes before any comes again."""
        waiting: list[str] = []
        while True:
            if not waiting:
                waiting = sorted(self._wanted)
                self._chance.shuffle(waiting)
            first = waiting.pop()
            others = self._kinds.world if first in self._kinds.broker else self._kinds.broker
            fitting = [name for name in waiting if name in others and not {(first, name), (name, first)} & MUST_NOT]
            if fitting and self._chance.random() < AT_ONCE:
                waiting.remove(fitting[-1])
                yield tuple(sorted((first, fitting[-1]), key=lambda name: name in self._kinds.world))
            else:
                yield (first,)

    def _break(self, names: tuple[str, ...]) -> None:
        """Do one or two kinds of harm and repair them; what befalls the world is this thread's."""
        defects: list[BaseException] = []
        chances = [random.Random(self._chance.random()) for _ in names]  # noqa: S311  # two threads, one schedule
        lengths = [0.3 + (0.7 if self._once else 2.2) * self._chance.random() for _ in names]

        def beside() -> None:
            try:
                self._one(names[0], lengths[0], chances[0])
            except BaseException as defect:  # noqa: BLE001  # it is raised by who waits
                defects.append(defect)

        if len(names) == 1:
            self._one(names[0], lengths[0], chances[0])
            return
        thread = threading.Thread(target=beside, name=names[0])
        thread.start()
        try:
            self._one(names[1], lengths[1], chances[1])
        finally:
            thread.join()
        if defects:
            raise defects[0]

    def _one(self, kind: str, seconds: float, chance: random.Random) -> None:
        begun = time.monotonic()
        broker = {**self._kinds.broker, **self._kinds.world}[kind](seconds, chance)
        fault = Fault(kind=kind, begun_s=begun, ended_s=time.monotonic(), broker=broker)
        self.faults.append(fault)
        say(f"  {named(fault):24} {fault.ended_s - begun:5.1f} s, {len(self.load.attempts)} attempts so far")

    def _revoke(self) -> None:
        doomed = self.cluster.doomed
        self.revoked = {doomed.mr_enclave.hex(): self.cluster.revoke(doomed)}
        self.revoked_s = time.monotonic()
        say(f"  a build is revoked       in ledger line {max(self.revoked.values())}")

    def _until_all_serve(self) -> None:
        begin = time.monotonic()
        until = begin + RECOVER_S
        while time.monotonic() < until:
            self.pause(0.1)
            if len(checker.served_after(list(self.load.attempts), begin, until)) == self.cluster.count:
                return

    def pause(self, seconds: float) -> None:
        """Let time pass, and look after what runs."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.cluster.look_after()
            time.sleep(min(0.5, max(0.0, end - time.monotonic())))


def clients(cluster: clusters.Cluster, load: Load) -> None:
    """Start all clients."""
    for number in range(cluster.count):
        load.add(f"gramine {number}", load.gramine(lambda: cluster.platform(cluster.good), GOOD), broker=number)
    for number in range(2):
        load.add(f"kbs {number}", load.kbs(lambda: cluster.platform(cluster.good), GOOD))
        load.add(f"narrow {number}", load.kbs(lambda: cluster.platform(cluster.narrow), "narrow"))
        load.add(f"narrow gramine {number}", load.gramine(lambda: cluster.platform(cluster.narrow), "narrow"))
    load.add("doomed", load.gramine(lambda: cluster.platform(cluster.doomed), "doomed"))
    load.add("doomed, kbs", load.kbs(lambda: cluster.platform(cluster.doomed), "doomed"), pause_s=0.3)
    load.add("unknown build", load.gramine(lambda: cluster.platform(cluster.unknown), WRONG))
    load.add("unknown build, kbs", load.kbs(lambda: cluster.platform(cluster.unknown), WRONG))
    load.add("foreign platform", load.gramine(lambda: cluster.platform(cluster.good, foreign=True), WRONG))
    load.add("replayer", load.replayer(lambda: cluster.platform(cluster.good)))


def run(
    folder: Path, *, seconds: float, once: bool, seed: int, gap_s: float, kinds: frozenset[str]
) -> tuple[History, list[Violation]]:
    """Run one schedule; return what was recorded, and which rules it breaks."""
    with clusters.Cluster(folder) as cluster:
        if cluster.disk is None:
            say(f"no small disk ({cluster.no_disk}): a limit on the size of the database's files stands for a full one")
        load = Load(cluster.target(), seed, pace=0.4 if once else 1.0)
        clients(cluster, load)
        try:
            chance = random.Random(seed)  # noqa: S311  # a schedule, not a secret
            working = Run(cluster, load, chance, once=once, kinds=kinds)
            working.go(seconds, gap_s=gap_s)
        finally:
            load.stop()
        ended = time.monotonic()
        cluster.look_after()
        lingering = cluster.lingering(cluster.doomed)
        for broker in cluster.brokers:
            broker.end(signal.SIGTERM)
        cluster.note_head()
        lines, faulty = cluster.lines()
        history = History(
            attempts=load.attempts, faults=working.faults, heads=cluster.heads, lines=lines, roots=cluster.roots,
            faulty=faulty, lingering=lingering, exits=cluster.exits, ended_s=ended,
        )  # fmt: skip
        admitted = (cluster.good, cluster.doomed, cluster.narrow)
        rules = Rules(
            digest=cluster.digest, measurements=frozenset(each.mr_enclave.hex() for each in admitted),
            recover_s=RECOVER_S, brokers=cluster.count, revoked=working.revoked, revoked_s=working.revoked_s,
            limits={"narrow": (clusters.MAX_LEASES, clusters.LEASE_S * 1000)},
        )  # fmt: skip
    return history, checker.check(history, rules)


def named(fault: Fault) -> str:
    """Return a fault's name for people."""
    return fault.kind if fault.broker is None else f"{fault.kind} (broker {fault.broker})"


def report(found: dict[str, Any], violations: list[Violation]) -> Iterator[str]:
    """Yield the lines that a person reads at the end."""
    outcomes: dict[str, int] = found["outcomes"]

    def count(kind: str, *ends: str) -> int:
        return sum(number for name, number in outcomes.items()
                   if name.startswith(f"{kind} ") and (not ends or name.endswith(ends)))  # fmt: skip

    faults = ", ".join(f"{number} {kind}" for kind, number in sorted(found["faults"].items()))
    yield f"faults     {faults}"
    for kind, what in (("good", "right replicas"), ("wrong", "wrong replicas"), ("doomed", "replicas revoked midway"),
                       ("narrow", "replicas over a limit")):  # fmt: skip
        yield f"{what:25}{count(kind):6} asked, {count(kind, ' secret'):6} got the secret"
    yield f"{'answers shown again':25}{count('replay'):6} shown, {count('replay', ' accepted'):6} accepted, each once"
    yield f"{'ledger':25}{found['ledger_lines']:6} lines, {found['signed_roots_seen']:6} signed roots compared"
    yield f"after every fault somebody was served within {found['recovered_s_max']} s"
    broken = {each.rule for each in violations}
    for rule in checker.RULES:
        yield f"  {'BROKEN' if rule in broken else 'held  '}  {rule}"
    yield from (f"VIOLATION  {each.rule}: {each.what}" for each in violations[:SHOWN])


def say(text: str) -> None:
    """Tell a person how far it is."""
    sys.stderr.write(f"chaos: {text}\n")
    sys.stderr.flush()


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long things break (default: 60)")
    parser.add_argument("--once", action="store_true", help="break each kind of thing once, two at a time")
    parser.add_argument("--seed", type=int, default=None, help="of the schedule (default: a new one, printed)")
    parser.add_argument("--gap", type=float, default=2.0, help="seconds between two faults, on average (default: 2)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="what breaks (default: everything)")
    parser.add_argument("--json", type=Path, help="write numbers and violations here")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else int.from_bytes(os.urandom(4))
    say(f"seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="strongroom-chaos-"))
    try:
        history, violations = run(
            folder, seconds=args.seconds, once=args.once, seed=seed, gap_s=args.gap, kinds=frozenset(args.kinds)
        )
    except BaseException:
        say(f"the run broke off; the logs are in {folder}")
        raise
    found = {"seed": seed, **checker.summary(history), "violations": [asdict(each) for each in violations[:SHOWN]]}
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for line in report(found, violations):
        sys.stdout.write(f"{line}\n")
    if violations:
        say(f"{len(violations)} violations with seed {seed}; the logs are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    say(f"every rule held; --seed {seed} runs the same schedule again")
    return 0


if __name__ == "__main__":
    sys.exit(main())
