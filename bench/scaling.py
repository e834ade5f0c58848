"""What many replicas ask of brokers and of the collateral cache: a simulation fed with what was measured here.

Events, not formulas: every replica starts on its node, proves itself at a broker, is refused only by time, and keeps
its lease. Costs come from bench/results/broker_admissions.json (the broker's CPU for one admission over either
protocol); what nobody here could measure, because there is no SGX machine, is an assumption and is listed as one. The
model is compared with the one case that was measured as well: a thousand at once at one broker. Writes docs/scaling.svg
and bench/results/scaling.json.
"""

from __future__ import annotations

import heapq
import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from harness import RESULTS, Report, percentile

PLOT: Final = RESULTS.parent.parent / "docs" / "scaling.svg"
LEASE_S: Final = 600.0
RENEWED_AFTER_S: Final = LEASE_S / 3  # where a replica renews its lease: two more tries fit before the end
DEADLINE_S: Final = 10.0  # a peer's, at the broker
FIRST_PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 30.0
PAGE: Final = PLOT.with_suffix(".md")
BEGIN: Final = "<!-- figures: written by bench/scaling.py -->\n"
END: Final = "<!-- end of figures -->\n"
DAY_S: Final = 86_400.0
STAGES: Final = (0.4, 0.4, 0.2)  # of an admission: handshake, evidence, release; a broker takes them in turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What one thing costs; CPU seconds unless said otherwise."""

    admission_s: float  # the broker's CPU for one key
    start_s: float = 2.5  # a replica's CPU until it asks: interpreter, imports, measuring itself
    load_s: float = 1.0  # from the key to readiness: opening and loading the model
    quote_s: float = 0.05  # assumed: one quote, one at a time on a node (its quoting enclave)
    round_trip_s: float = 0.002  # assumed: replica and broker in one region
    fetch_s: float = 0.25  # assumed: one answer of the collateral service


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """How much there is of everything."""

    replicas: int = 1000
    nodes: int = 50
    cores: int = 16  # of a node
    brokers: int = 1  # processes, one core each
    models: int = 2  # kinds of processor among the nodes: each has TCB info of its own
    at_once: bool = False  # all ask in the same moment, as after a broker's return


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    ready_s: list[float] = field(default_factory=list)  # when each replica was ready
    waits_s: list[float] = field(default_factory=list)  # from asking to the key, of the attempt that succeeded
    retries: int = 0
    busy_s: float = 0.0  # the brokers' CPU


@dataclass(slots=True, kw_only=True)
class Asking:
    """One attempt of one replica to get its key."""

    node: int
    number: int  # 0 for the first
    since: float  # when it connected
    broker: int  # the one that took the connection


def simulate(cluster: Cluster, costs: Costs, seed: int = 1) -> Outcome:
    """Run one scale-up from nothing to all replicas."""
    chance, found = random.Random(seed), Outcome()  # noqa: S311  # a simulation, repeatable
    events: list[tuple[float, int, Callable[[float], None]]] = []
    order = iter(range(sys.maxsize))
    brokers = [0.0] * cluster.brokers  # when each is free
    nodes = [[0.0] * cluster.cores for _ in range(cluster.nodes)]
    quoting = [0.0] * cluster.nodes

    def later(when: float, action: Callable[[float], None]) -> None:
        heapq.heappush(events, (when, next(order), action))

    def ask(now: float, node: int, number: int) -> None:
        quoting[node] = max(quoting[node], now) + costs.quote_s
        arrives = (now if cluster.at_once else quoting[node]) + costs.round_trip_s
        chosen = min(range(cluster.brokers), key=brokers.__getitem__)
        asking = Asking(node=node, number=number, since=arrives, broker=chosen)
        later(arrives, lambda when: serve(when, asking, 0))

    def serve(now: float, asking: Asking, stage: int) -> None:
        begins = max(brokers[asking.broker], now)
        if begins - asking.since > DEADLINE_S:
            found.retries += 1
            pause = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2**asking.number) * chance.uniform(0.5, 1.5)
            again = asking.since + DEADLINE_S + pause
            later(again, lambda when: ask(when, asking.node, asking.number + 1))
            return
        cost = costs.admission_s * STAGES[stage] * chance.uniform(0.8, 1.2)
        brokers[asking.broker] = begins + cost
        found.busy_s += cost
        then = brokers[asking.broker] + costs.round_trip_s
        if stage + 1 < len(STAGES):
            later(then, lambda when: serve(when, asking, stage + 1))
        else:
            later(then, lambda when: released(when, asking.since, asking.node))

    def released(now: float, asked: float, node: int) -> None:
        found.waits_s.append(now - asked)
        found.ready_s.append(on_node(now, node, costs.load_s))

    def on_node(now: float, node: int, work_s: float) -> float:
        core = min(range(cluster.cores), key=nodes[node].__getitem__)
        nodes[node][core] = max(nodes[node][core], now) + work_s
        return nodes[node][core]

    for number in range(cluster.replicas):
        node = number % cluster.nodes
        begins = 0.0 if cluster.at_once else on_node(0.0, node, costs.start_s * chance.uniform(0.8, 1.2))
        later(begins, lambda when, node=node: ask(when, node, 0))  # type: ignore[misc]
    while events:
        when, _, action = heapq.heappop(events)
        action(when)
    return found


def steady_load(cluster: Cluster, costs: Costs) -> float:
    """Return the share of one core that keeping every lease costs the brokers."""
    return cluster.replicas / RENEWED_AFTER_S * costs.admission_s


def collateral_a_day(cluster: Cluster, refresh_s: float) -> tuple[int, int]:
    """Return the requests a day that a collateral cache in the broker makes, and those that it answers.

    Of each kind of processor TCB info and its issuer chain, of all together the enclave identity and two revocation
    lists. Every admission and renewal wants all four; PCK certificates come with the quotes.
    """
    made = (cluster.models + 3) * max(1, round(DAY_S / refresh_s))
    asked = 4 * round(cluster.replicas * DAY_S / RENEWED_AFTER_S)
    return made, asked


def measured(name: str) -> float:
    """Return a figure that the admission bench measured."""
    lines = json.loads((RESULTS / "broker_admissions.json").read_text(encoding="utf-8"))
    return float(next(line["value"] for line in lines if line["measure"] == name))


def main() -> None:
    """Simulate, compare, write."""
    gramine = Costs(admission_s=measured("at once: the broker's CPU each") / 1000)
    kbs = replace(gramine, admission_s=measured("KBS admission (auth, attest, resource), the broker's CPU") / 1000)
    report = Report("scaling", command="python bench/scaling.py")
    storm = simulate(Cluster(at_once=True), replace(gramine, quote_s=0.0))
    report.add("a thousand at once, one broker: median, simulated", 1000 * percentile(storm.waits_s, 0.5), "ms")
    report.add("a thousand at once, one broker: median, measured", measured("at once: connect to key, median"), "ms")
    report.add("a thousand at once, one broker: p99, simulated", 1000 * percentile(storm.waits_s, 0.99), "ms")
    report.add("a thousand at once, one broker: p99, measured", measured("at once: connect to key, p99"), "ms")
    for label, costs in (("KBS", kbs), ("Gramine's protocol", gramine)):
        for brokers in (1, 2, 4):
            found = simulate(Cluster(brokers=brokers), costs)
            report.add(f"{label}, {brokers} brokers: last of 1000 ready after", max(found.ready_s), "s")
            report.add(
                f"{label}, {brokers} brokers: wait for the key, p99", 1000 * percentile(found.waits_s, 0.99), "ms"
            )
            report.add(f"{label}, {brokers} brokers: asked again", found.retries, "replicas")
        report.add(f"{label}: keeping 1000 leases", 100 * steady_load(Cluster(), costs), "% of a core")
        most = 0.7 / (steady_load(Cluster(replicas=1), costs))
        report.add(f"{label}: leases that one broker keeps at 70 % of a core", round(most, -2), "replicas")
    made, asked = collateral_a_day(Cluster(), refresh_s=DAY_S / 24)
    report.add("collateral: answers fetched a day, refreshed hourly", made, "requests")
    report.add("collateral: answers taken from the cache a day", asked, "requests")
    report.add("collateral: PCK certificates that 50 nodes fetch once", Cluster().nodes, "requests")
    plot(kbs, gramine)
    status = report.finish()
    write_figures()
    sys.exit(status)


def write_figures() -> None:
    """Put the figures into the page, between its two marks."""
    lines = json.loads((RESULTS / "scaling.json").read_text(encoding="utf-8"))
    rows = "".join(f"| {line['measure']} | {line['value']:,g} {line['unit']} |\n" for line in lines)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(
        f"{before}{BEGIN}\n| simulated, unless it says measured | |\n|---|---|\n{rows}\n{END}{after}", encoding="utf-8"
    )


def plot(kbs: Costs, gramine: Costs) -> None:
    """Draw readiness over time, and the brokers' load over the number of replicas."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "strongroom"
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for brokers in (1, 2, 4):
        times = sorted(simulate(Cluster(brokers=brokers), kbs).ready_s)
        left.plot(times, range(1, len(times) + 1), label=f"{brokers} broker{'s' if brokers > 1 else ''}, KBS")
    times = sorted(simulate(Cluster(), gramine).ready_s)
    left.plot(times, range(1, len(times) + 1), linestyle="--", label="1 broker, Gramine's protocol")
    left.set(xlabel="seconds after the scale-up", ylabel="replicas ready", title="1,000 replicas on 50 nodes")
    left.legend(frameon=False)
    counts = [100, 300, 1000, 3000, 10_000, 30_000]
    for label, costs in (("KBS", kbs), ("Gramine's protocol", gramine)):
        right.plot(counts, [steady_load(Cluster(replicas=count), costs) for count in counts], marker="o", label=label)
    right.set(xscale="log", yscale="log", xlabel="replicas", ylabel="cores of the brokers",
              title="keeping leases of 600 s")  # fmt: skip
    right.legend(frameon=False)
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main()
