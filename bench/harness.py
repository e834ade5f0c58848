"""What every bench shares: a stopwatch for CPU and wall time, and a report that prints a table and writes JSON.

A bench makes one `Report`, adds what it measured, and ends with `sys.exit(report.finish())`. The file
`bench/results/NAME.json` is a list of {"measure", "value", "unit", "target", "holds", "command"}; `target` reads like
">= 500" and may be null, and then `holds` is null too. The exit status is 0 even if a target does not hold: the file
says so. (`serving`, a package of its own, writes an object: these lines under "targets", and all that was measured.)
"""

from __future__ import annotations

import json
import operator
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

RESULTS: Final = Path(__file__).resolve().parent / "results"
COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq,
}  # fmt: skip


@dataclass(slots=True)
class Cost:
    """What something took: wall seconds, and CPU seconds (user and system) of this process and its ended children."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


def cpu_seconds() -> float:
    """Return the CPU seconds, user and system, of this process and its ended children so far."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@contextmanager
def stopwatch() -> Iterator[Cost]:
    """Measure a `with` block; the cost is filled in at its end."""
    cost, cpu, wall = Cost(), cpu_seconds(), time.perf_counter()
    yield cost
    cost.cpu_s, cost.wall_s = cpu_seconds() - cpu, time.perf_counter() - wall


def measure(action: Callable[[], object]) -> Cost:
    """Run `action` once and return its cost."""
    with stopwatch() as cost:
        action()
    return cost


def typical(costs: list[Cost]) -> Cost:
    """Return the median CPU and the median wall seconds of several runs."""
    return Cost(median(cost.cpu_s for cost in costs), median(cost.wall_s for cost in costs))


def percentile(values: list[float], share: float) -> float:
    """Return the nearest-rank percentile of `values`; `share` is between 0 and 1."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -int(-share * len(ranked) // 1) - 1))]


def meets(value: float, target: str | None) -> bool | None:
    """Tell whether `value` meets a target like ">= 500"; None without one."""
    if target is None:
        return None
    comparison, _, wanted = target.partition(" ")
    return COMPARISONS[comparison](value, float(wanted))


@dataclass(frozen=True, slots=True)
class Line:
    """One measured value, in the shape of the results file."""

    measure: str
    value: float
    unit: str
    target: str | None
    holds: bool | None
    command: str


class Report:
    """Collects the values of one bench."""

    def __init__(self, name: str, *, command: str) -> None:
        self._name: Final = name
        self._command: Final = command
        self._lines: Final[list[Line]] = []

    def add(self, measure: str, value: float, unit: str, *, target: str | None = None) -> None:
        """Add one value, rounded to four digits that matter."""
        rounded = float(f"{value:.4g}")
        self._lines.append(Line(measure, rounded, unit, target, meets(rounded, target), self._command))

    def finish(self) -> int:
        """Print the table, write `bench/results/NAME.json`, and return the exit status 0."""
        table = Table("measure", "value", "unit", "target", "holds", title=self._name)
        for line in self._lines:
            holds = {True: "yes", False: "NO", None: ""}[line.holds]
            table.add_row(line.measure, f"{line.value:g}", line.unit, line.target or "", holds)
        Console().print(table)
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps([asdict(line) for line in self._lines], indent=2)
        (RESULTS / f"{self._name}.json").write_text(text + "\n", encoding="utf-8")
        return 0
