"""Count what a load run did, and say it in the reference client's lines and in numbers a machine can read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

PERCENTILES: Final = (50, 90, 95, 99)
SHOWN_VALUES: Final = 6  # of a list in the first answer


@dataclass(slots=True)
class Tally:
    """What happened so far: latencies of answered requests in seconds, failures by status name, elapsed seconds."""

    latencies_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What was asked for: whether the channel is TLS, tasks (one channel each), images a request, requests a task."""

    secure: bool
    cnum: int
    batch: int
    loop: int

    @property
    def channel(self) -> str:
        """The word that the reference client prints."""
        return "secure" if self.secure else "insecure"


def query_line(shape: Shape, task: int, index: int, latency_s: float) -> str:
    """Return the reference client's line for one answered request; without `loop_idx` where the run has no end."""
    latency_ms, tps = 1000 * latency_s, shape.batch / latency_s
    return f"{_query(shape, task, index)}latency(ms) {latency_ms:.1f}, tps: {tps:.1f}"


def error_line(shape: Shape, task: int, index: int, code: str, text: str) -> str:
    """Return our line for one failed request, in the shape of the others."""
    return f"{_query(shape, task, index)}error {code}: {text}"


def _query(shape: Shape, task: int, index: int) -> str:
    loop = f"loop_idx {index}, " if shape.loop else ""
    return f"query: {shape.channel} channel, task {task}, batch {shape.batch}, {loop}"


def summary_line(shape: Shape, tally: Tally) -> str:
    """Return the reference client's last line."""
    numbers = to_json_object(shape, tally)
    return (
        f"summary: cnum {shape.cnum}, batch {shape.batch}, e2e time(s) {numbers['e2e_time_s']}, "
        f"average latency(ms) {numbers['average_latency_ms']}, tps: {numbers['tps']}"
    )


def percentile_line(shape: Shape, tally: Tally) -> str:
    """Return our line after it: percentiles and errors by code."""
    numbers = to_json_object(shape, tally)
    parts = [f"p{each}(ms) {numbers[f'p{each}_ms']}" for each in PERCENTILES]
    by_code = "".join(f", {code} {count}" for code, count in sorted(tally.errors.items()))
    return f"percentiles: {', '.join(parts)}, requests {numbers['requests']}, errors {tally.errors.total()}{by_code}"


def percentile(sorted_values: list[float], share: int) -> float:
    """Return the nearest-rank percentile of ascending values; NaN for none."""
    if not sorted_values:
        return math.nan
    return sorted_values[max(0, math.ceil(share / 100 * len(sorted_values)) - 1)]


def grid_lines(runs: Iterable[tuple[Shape, Tally]]) -> list[str]:
    """Return a table of a matrix, images per second / p99 in ms: tasks across, batches down; nothing for one run."""
    found = {(shape.cnum, shape.batch): to_json_object(shape, tally) for shape, tally in runs}
    if len(found) < 2:
        return []
    across, down = sorted({cnum for cnum, _ in found}), sorted({batch for _, batch in found})
    lines = ["tps / p99(ms)" + "".join(f"{f'cnum {cnum}':>20}" for cnum in across)]
    for batch in down:
        cells = [found.get((cnum, batch)) for cnum in across]
        words = [f"{cell['tps']:.1f} / {cell['p99_ms']}" if cell else "" for cell in cells]
        lines.append(f"{f'batch {batch}':<13}" + "".join(f"{word:>20}" for word in words))
    return lines


def shortened(value: object) -> object:
    """Return JSON's types with long lists cut: their first values, and how many more there are."""
    match value:
        case dict(named):
            return {name: shortened(each) for name, each in named.items()}
        case list(items) if len(items) > SHOWN_VALUES:
            return [*map(shortened, items[:SHOWN_VALUES]), f"{len(items) - SHOWN_VALUES} more"]
        case list(items):
            return [shortened(each) for each in items]
    return value


def to_json_object(shape: Shape, tally: Tally, *, samples: bool = False) -> dict[str, object]:
    """Return the run as numbers: milliseconds and images per second; null where nothing was answered.

    `samples` adds the latency of every answered request, in the order of their answers.
    """
    latencies = sorted(tally.latencies_s)
    answered = len(latencies)
    average = sum(latencies) / answered if answered else math.nan
    tps = answered * shape.batch / tally.elapsed_s if tally.elapsed_s else 0.0
    return {
        "channel": shape.channel,
        "cnum": shape.cnum,
        "batch": shape.batch,
        "loop": shape.loop,
        "requests": answered + tally.errors.total(),
        "e2e_time_s": round(tally.elapsed_s, 3),
        "average_latency_ms": _milliseconds(average),
        "tps": round(tps, 3),
        "requests_per_s": round(tps / shape.batch, 3),
        **dict(_percentiles(latencies)),
        "errors": dict(sorted(tally.errors.items())),
        **({"latencies_ms": [_milliseconds(each) for each in tally.latencies_s]} if samples else {}),
    }


def _percentiles(latencies: list[float]) -> Iterable[tuple[str, float | None]]:
    return ((f"p{share}_ms", _milliseconds(percentile(latencies, share))) for share in PERCENTILES)


def _milliseconds(seconds: float) -> float | None:
    return None if math.isnan(seconds) else round(1000 * seconds, 3)
