"""How many replicas the broker admits, what one admission costs beside its floor, and whether bad neighbours delay it.

    python bench/broker_admissions.py --replicas 1000

A thousand simulated replicas ask at once, one in five of them a wrong one (debug enclave, other measurement, forged
quote, another key's quote); every answer is checked. The cost is the broker process's own CPU, without that of the
clients, beside what cannot be saved: one mutual TLS handshake, two P-256 verifications and one durable ledger write,
each measured alone, in turns with the broker. Warm are replicas of which the broker has seen the machine and not the
replica: with P-256 keys the two verifications are the quote's signature and the certificate's over itself. The same for
the hardest case, with the keys that Gramine's clients have: P-384, and a quoting enclave that nobody saw before, so
that a P-384 and two P-256 signatures are verified. Then 500 connections that idle or send one byte a second stand
beside a steady load. Then KBS: one connection with challenge, attestation and one secret, beside its own floor.

The peer to name is Gramine's own key server: one idle connection stops it for everybody, since it serves one after
the other and has no deadline (a known fact, threat FB-16; it is not run here). Broker and clients share this machine's
cores, so admissions per second are of both together.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from admissions import floor
from admissions.asking import Answer, be_neighbours, paced, several, storm
from admissions.estate import MODEL, Estate, Replica, cpu_s, process
from harness import Report, percentile
from strongroom.broker.kbs_client import obtain
from strongroom.broker.names import SecretName

WARM_ROUNDS = 5
WARM = 160  # new replicas in each
AT_ONCE = 64
KBS_ROUNDS = 3
KBS = 100
KBS_AT_ONCE = 8
NEIGHBOURS = 500
PACED = 240
PER_SECOND = 60
NEIGHBOUR_ROUNDS = 3


@dataclass(frozen=True)
class Kind:
    """One kind of replica, and whether its certificate takes a P-384 verification beyond the floor."""

    name: str
    replicas: Sequence[Replica]
    extra: bool


@dataclass(frozen=True)
class Measured:
    """The two servers that are measured in turns: their process ids and ports."""

    estate: Estate
    broker: tuple[int, int]
    bare: tuple[int, int]


def report_storm(report: Report, estate: Estate, answers: Sequence[Answer]) -> None:
    """Check every answer of the storm and add its numbers."""
    good = [each for each in answers if each.replica.good]
    served = sum(each.secret == estate.key for each in good)
    leaked = sum(each.secret is not None for each in answers if not each.replica.good)
    wall = max(each.ended for each in answers) - min(each.began for each in answers)
    report.add(f"at once: right ones of {len(good)} that got their key", served, "replicas", target=f"== {len(good)}")
    report.add(f"at once: wrong ones of {len(answers) - len(good)} that got one", leaked, "replicas", target="== 0")
    report.add("at once: connect to key, median", percentile([each.seconds for each in good], 0.5) * 1000, "ms")
    report.add("at once: connect to key, p99", percentile([each.seconds for each in good], 0.99) * 1000, "ms")
    report.add("at once: admissions and refusals", len(answers) / wall, "1/s")


def report_warm(report: Report, kind: Kind, measured: Measured) -> None:
    """Measure admissions of one kind of replica and the floor's parts in turns, and compare their medians."""
    server, port = measured.broker
    warm: list[float] = []
    parts: dict[str, list[float]] = {}
    with closing(floor.Writes(measured.estate, f"alone-{len(kind.replicas)}-{kind.extra}")) as writes:
        for number in range(WARM_ROUNDS):
            new = kind.replicas[number * WARM : (number + 1) * WARM]
            before = cpu_s(server)
            answers = asyncio.run(several(port, new, AT_ONCE))
            warm.append((cpu_s(server) - before) / len(new))
            assert all(each.secret == measured.estate.key for each in answers)
            for name, seconds in (
                ("one mutual TLS handshake", floor.handshakes(*measured.bare, new, AT_ONCE)),
                ("two P-256 verifications", floor.verifications()),
                ("one durable ledger write", writes.measure()),
                ("one P-384 verification", floor.p384_verification() if kind.extra else 0.0),
            ):
                parts.setdefault(name, []).append(seconds)
    extra = parts.pop("one P-384 verification")
    for name, values in parts.items():
        report.add(f"{kind.name}: floor: {name}, CPU", median(values) * 1000, "ms")
    floors = [sum(each) for each in zip(*parts.values(), strict=True)]
    report.add(f"{kind.name}: floor: together", median(floors) * 1000, "ms")
    report.add(f"{kind.name}, {AT_ONCE} at a time, the broker's CPU", median(warm) * 1000, "ms")
    ratio = median(one / least for one, least in zip(warm, floors, strict=True))
    report.add(f"{kind.name}, over the floor", ratio, "ratio", target=None if kind.extra else "<= 2")
    if kind.extra:
        report.add(f"{kind.name}: a P-384 verification, CPU", median(extra) * 1000, "ms")
        whole = median(one / (least + more) for one, least, more in zip(warm, floors, extra, strict=True))
        report.add(f"{kind.name}, over a floor with the P-384 verification", whole, "ratio")


def report_neighbours(report: Report, port: int, replicas: Sequence[Replica], log: Path) -> None:
    """Compare the waiting at a steady rate without and with bad neighbours, in turns."""
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(NEIGHBOUR_ROUNDS):
        alone += [each.seconds for each in asyncio.run(paced(port, replicas, PER_SECOND)) if each.secret]
        with neighbours(port, log):
            beside += [each.seconds for each in asyncio.run(paced(port, replicas, PER_SECOND)) if each.secret]
    what = f"steady, {PER_SECOND} a second: connect to key"
    report.add(f"{what}, median", percentile(alone, 0.5) * 1000, "ms")
    report.add(f"{what}, p99", percentile(alone, 0.99) * 1000, "ms")
    report.add(f"{what}, p99, beside {NEIGHBOURS} idle or slow ones", percentile(beside, 0.99) * 1000, "ms")
    ratio = percentile(beside, 0.99) / percentile(alone, 0.99)
    report.add(f"p99 beside {NEIGHBOURS} idle or slow ones, over p99 alone", ratio, "ratio", target="< 2")
    asked = 2 * NEIGHBOUR_ROUNDS * len(replicas)
    report.add(f"steady: replicas of {asked} that got their key", len(alone) + len(beside), "replicas",
               target=f"== {asked}")  # fmt: skip


@contextmanager
def neighbours(port: int, log: Path) -> Iterator[None]:
    """Hold connections open from another process: half of them idle, half send one byte a second."""
    with process(__file__, "--neighbours", str(port), log=log):
        yield


def report_kbs(report: Report, estate: Estate, server: int, port: int, bare: tuple[int, int]) -> None:
    """Measure what one secret by the KBS protocol costs, in turns with its floor."""
    ca_pem, wanted = estate.workspace.ca_certificate_pem, SecretName.parse(MODEL)

    def one(_: int) -> None:
        found = obtain(f"https://localhost:{port}", wanted, ca_pem=ca_pem, platform=estate.platform())
        with found.secret.reveal() as raw:
            assert raw == estate.key

    costs, floors = [], []
    with closing(floor.Writes(estate, "alone-kbs")) as writes, ThreadPoolExecutor(KBS_AT_ONCE) as pool:
        list(pool.map(one, range(KBS_AT_ONCE)))
        for _ in range(KBS_ROUNDS):
            before = cpu_s(server)
            list(pool.map(one, range(KBS)))
            costs.append((cpu_s(server) - before) / KBS)
            shake = floor.kbs_handshakes(*bare, ca_pem, KBS, KBS_AT_ONCE)
            floors.append(shake + floor.verifications() + floor.token_and_envelope() + writes.measure())
    report.add("KBS floor: TLS, two P-256 verifications, signature, key agreement, write", median(floors) * 1000, "ms")
    report.add("KBS admission (auth, attest, resource), the broker's CPU", median(costs) * 1000, "ms")
    ratio = median(cost / least for cost, least in zip(costs, floors, strict=True))
    report.add("KBS admission, over its floor", ratio, "ratio")


def bench(count: int, *, quick: bool) -> int:
    """Run it all."""
    report = Report("broker_admissions", command=f"python bench/broker_admissions.py --replicas {count}")
    with tempfile.TemporaryDirectory() as name:
        estate = Estate(Path(name))
        log, bare = estate.folder / "log", str(floor.lay_down_identity(estate))
        asking, hardest = estate.replicas(count, wrong=True), estate.replicas((WARM_ROUNDS + 1) * WARM)
        seen = estate.seen((WARM_ROUNDS + 1) * WARM)
        words = ("-m", "strongroom", "broker", "serve", "--port", "0", "--kbs-port", "0", "--deadline", "120")
        with (
            process(*words, "--workspace", str(estate.workspace.folder), log=log, ports=2) as (
                server,
                (port, kbs_port),
            ),
            process(__file__, "--bare", "gramine", bare, log=log) as (shaker, (shaking,)),
            process(__file__, "--bare", "kbs", bare, log=log) as (kbs_shaker, (kbs_shaking,)),
        ):
            for first in (hardest[-WARM:], seen[-WARM:]):
                asyncio.run(several(port, first, AT_ONCE))
                floor.handshakes(shaker, shaking, first, AT_ONCE)
            before = cpu_s(server)
            report_storm(report, estate, asyncio.run(storm(port, asking)))
            report.add("at once: the broker's CPU each", (cpu_s(server) - before) / count * 1000, "ms")
            measured = Measured(estate, (server, port), (shaker, shaking))
            report_warm(report, Kind("warm admission", seen, extra=False), measured)
            report_warm(report, Kind("warm, new quoting enclave, P-384", hardest, extra=True), measured)
            report_kbs(report, estate, server, kbs_port, (kbs_shaker, kbs_shaking))
            if not quick:
                report_neighbours(report, port, hardest[:PACED], log)
    code = report.finish()
    print(
        "Peer: Gramine's own key server has no such line: one idle connection stops it for everybody (FB-16; not run)."
    )
    return code


def main() -> int:
    """Run the bench, or one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int, default=1000, help="how many ask at once (default: 1000)")
    parser.add_argument("--quick", action="store_true", help="leave the neighbours out")
    parser.add_argument("--bare", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--neighbours", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        serve = floor.be_gramine_server if args.bare[0] == "gramine" else floor.be_kbs_server
        return serve(Path(args.bare[1]))
    if args.neighbours:
        return be_neighbours(args.neighbours, NEIGHBOURS)
    return bench(args.replicas, quick=args.quick)


if __name__ == "__main__":
    sys.exit(main())
