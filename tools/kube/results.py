"""What a run showed: phases with their calls, checks that held or did not, times. Pure but for reading the load's file.

A check is a sentence that is true or not; the run fails when one is not. Numbers are written as benchmarks write theirs
(`bench/results`), so that others can be compared.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kube.load import ONCE, PATIENT

COMMAND: Final = "make kube"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the load; times in seconds since the epoch."""

    kind: str
    began: float
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class Check:
    """A sentence that should be true, and what was seen."""

    phase: str
    sentence: str
    held: bool
    seen: str


@dataclass(slots=True)
class Phase:
    """A part of the run: how long it took, until what was wanted had come."""

    name: str
    began: float
    ended: float = 0.0
    times: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass(frozen=True, slots=True)
class Tally:
    """The calls of one kind that began in a phase."""

    calls: int
    failed: int
    errors: Mapping[str, int]
    p50_ms: float
    p99_ms: float
    worst_ms: float


class Results:
    """Collects phases and checks while the run goes on."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self.checks: list[Check] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Time a phase; it counts too when it is left by an error."""
        found = Phase(name, time.time())
        self.phases.append(found)
        try:
            yield found
        finally:
            found.ended = time.time()

    def check(self, sentence: str, held: bool, seen: object = "") -> bool:
        """Note whether a sentence is true, in the phase that runs."""
        phase = self.phases[-1].name if self.phases else "start"
        self.checks.append(Check(phase, sentence, held, str(seen)[:400]))
        return held

    @property
    def held(self) -> bool:
        """Whether every check held, and there were some."""
        return bool(self.checks) and all(each.held for each in self.checks)


def read_calls(path: Path) -> list[Call]:
    """Read what the load has written so far; a last line that is not whole is left for later."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [Call(**json.loads(line)) for line in lines]


def tally(calls: Sequence[Call], kind: str, began: float, ended: float) -> Tally:
    """Count the calls of a kind that ran, in part at least, between two moments."""
    found = [each for each in calls if each.kind == kind and each.began < ended and each.began + each.seconds > began]
    errors = Counter((each.error or "").split(" ")[0] for each in found if each.error)
    taken = sorted(each.seconds * 1000 for each in found)

    def quantile(share: float) -> float:
        return taken[min(len(taken) - 1, int(share * len(taken)))] if taken else 0.0

    return Tally(len(found), sum(errors.values()), dict(errors), quantile(0.5), quantile(0.99), quantile(1.0))


def table(results: Results, calls: Sequence[Call]) -> Iterator[str]:
    """Yield the lines that a person reads at the end."""
    yield f"{'phase':34}{'seconds':>9}{'calls':>8}{'failed':>8}{'p50 ms':>8}{'p99 ms':>9}{'worst':>8}   without retries"
    for phase in results.phases:
        patient = tally(calls, PATIENT, phase.began, phase.ended)
        once = tally(calls, ONCE, phase.began, phase.ended)
        line = f"{phase.name:34}{phase.seconds:9.1f}"
        if patient.calls:
            line += (
                f"{patient.calls:8}{patient.failed:8}{patient.p50_ms:8.1f}{patient.p99_ms:9.1f}{patient.worst_ms:8.0f}"
            )
            line += f"   {once.failed} of {once.calls} failed {_shown(once.errors)}"
        yield line
        yield from (f"    {what:40}{seconds:8.1f} s" for what, seconds in phase.times.items())
    yield ""
    for check in results.checks:
        yield f"  {'held  ' if check.held else 'BROKEN'}  {check.phase}: {check.sentence}{_seen(check)}"


def _shown(errors: Mapping[str, int]) -> str:
    return "(" + ", ".join(f"{count} {code}" for code, count in sorted(errors.items())) + ")" if errors else ""


def _seen(check: Check) -> str:
    return f" [{check.seen}]" if check.seen else ""


def measures(results: Results, calls: Sequence[Call]) -> list[dict[str, Any]]:
    """Return the numbers as benchmarks write them."""
    found = []

    def add(measure: str, value: float, unit: str, target: str | None = None, holds: bool | None = None) -> None:
        found.append({"measure": measure, "value": round(value, 3), "unit": unit, "target": target, "holds": holds,
                      "command": COMMAND})  # fmt: skip

    for phase in results.phases:
        add(phase.name, phase.seconds, "s")
        for what, seconds in phase.times.items():
            add(f"{phase.name}: {what}", seconds, "s")
        for kind, title in ((PATIENT, "with client retries"), (ONCE, "without retries")):
            counted = tally(calls, kind, phase.began, phase.ended)
            if counted.calls:
                wanted = ("0", counted.failed == 0) if kind == PATIENT else (None, None)
                add(f"{phase.name}: calls {title}", counted.calls, "calls")
                add(f"{phase.name}: failed {title}", counted.failed, "calls", *wanted)
                add(f"{phase.name}: p99 {title}", counted.p99_ms, "ms")
    add("checks", len(results.checks), "checks")
    add("checks that held", sum(each.held for each in results.checks), "checks", "all", results.held)
    return found
