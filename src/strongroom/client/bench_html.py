"""The report of a load run: one HTML file that needs nothing else, no script and no network, light and dark.

Everything that came from outside (model names, addresses, error codes) is escaped, and the markup is also XML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from strongroom.client.bench_svg import Point, line_chart

Run = Mapping[str, Any]  # what `bench_report.to_json_object` returns

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #d0d7de; --heat: 11, 110, 79; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --soft: #3d444d; --heat: 63, 185, 130; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 70rem;
  margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid var(--soft); padding: .25rem .6rem; text-align: right; }
th:first-child { text-align: left; } caption, figcaption { text-align: left; font-weight: 600; padding: .3rem 0; }
.wide { overflow-x: auto; } .charts { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { flex: 1 1 28rem; margin: 0; } svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } .axis { stroke: var(--ink); } .grid { stroke: var(--soft); }
polyline { fill: none; stroke-width: 2; stroke: var(--line); } circle { fill: var(--line); }
.s0 { --line: #0b6e4f; } .s1 { --line: #c2570c; } .s2 { --line: #3b6fd4; } .s3 { --line: #a4369e; }
.s4 { --line: #9a7b00; } .s5 { --line: #008a9a; } .s6 { --line: #c0392b; }
"""
COLUMNS: Final[tuple[tuple[str, str], ...]] = (
    ("cnum", "tasks"), ("batch", "batch"), ("requests", "requests"), ("tps", "images/s"),
    ("requests_per_s", "requests/s"), ("average_latency_ms", "mean ms"), ("p50_ms", "p50 ms"), ("p90_ms", "p90 ms"),
    ("p95_ms", "p95 ms"), ("p99_ms", "p99 ms"), ("e2e_time_s", "seconds"),
)  # fmt: skip


def report(about: Mapping[str, str], runs: Sequence[Run]) -> str:
    """Return the page: `about` are words on what was measured where, `runs` in the order they ran."""
    title = f"Load report: {about.get('model', '')}"
    facts = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in about.items())
    parts = [
        f"<h1>{escape(title)}</h1><table>{facts}</table>",
        f'<div class="charts">{"".join(_charts(runs))}</div>',
        _matrix("Images per second", runs, "tps", most_is_best=True),
        _matrix("99th percentile of latency, ms", runs, "p99_ms", most_is_best=False),
        _table(runs),
        _errors(runs),
    ]
    head = f'<meta charset="utf-8"/><title>{escape(title)}</title><style>{STYLE}</style>'
    view = '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}{view}</head><body>{"".join(parts)}</body></html>\n'


def _charts(runs: Sequence[Run]) -> list[str]:
    """Return charts over tasks, one line for each batch; and over the batch where that is what varies."""
    charts = []
    for over, along in (("cnum", "batch"), ("batch", "cnum")):
        if len({run[over] for run in runs}) < 2:
            continue
        x_title, by = ("concurrent tasks", "batch") if over == "cnum" else ("images a request", "tasks")
        for key, y_title in (("tps", "images/s"), ("p50_ms", "p50 ms"), ("p99_ms", "p99 ms")):
            lines = _lines(runs, over, along, key, by)
            charts.append(line_chart(f"{y_title} by {x_title}", x_title, y_title, lines))
    return charts


def _lines(runs: Sequence[Run], over: str, along: str, key: str, by: str) -> dict[str, list[Point]]:
    """Return a line for each value of `along` that has at least two points."""
    lines: dict[str, list[Point]] = {}
    for run in runs:
        if run[key] is not None:
            lines.setdefault(f"{by} {run[along]}", []).append((run[over], run[key]))
    return {title: points for title, points in lines.items() if len(points) > 1}


def _matrix(title: str, runs: Sequence[Run], key: str, *, most_is_best: bool) -> str:
    """Return tasks across, batches down; the better, the stronger the colour. Nothing for a single run."""
    values = {(run["cnum"], run["batch"]): run[key] for run in runs}
    if len(values) < 2:
        return ""
    known = [value for value in values.values() if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    across, down = sorted({cnum for cnum, _ in values}), sorted({batch for _, batch in values})
    head = "".join(f"<th>{cnum} tasks</th>" for cnum in across)
    rows = []
    for batch in down:
        cells = "".join(_heat(values.get((cnum, batch)), low, high, most_is_best) for cnum in across)
        rows.append(f"<tr><th>batch {batch}</th>{cells}</tr>")
    return (
        f'<div class="wide"><table><caption>{escape(title)}</caption>'
        f"<tr><th>\u00a0</th>{head}</tr>{''.join(rows)}</table></div>"
    )


def _heat(value: float | None, low: float, high: float, most_is_best: bool) -> str:
    if value is None:
        return "<td>–</td>"
    share = (value - low) / (high - low) if high > low else 0.5
    alpha = 0.5 * (share if most_is_best else 1 - share)
    return f'<td style="background: rgba(var(--heat), {alpha:.2f})">{value:,.1f}</td>'


def _table(runs: Sequence[Run]) -> str:
    head = "".join(f"<th>{title}</th>" for _, title in COLUMNS)
    values = [[*(run[key] for key, _ in COLUMNS), sum(run["errors"].values())] for run in runs]
    rows = "".join(f"<tr>{''.join(f'<td>{_number(value)}</td>' for value in row)}</tr>" for row in values)
    return f'<div class="wide"><table><caption>Every load</caption><tr>{head}<th>errors</th></tr>{rows}</table></div>'


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,}"


def _errors(runs: Sequence[Run]) -> str:
    rows = [
        f"<tr><td>{run['cnum']}</td><td>{run['batch']}</td><td>{escape(code)}</td><td>{count}</td></tr>"
        for run in runs
        for code, count in run["errors"].items()
    ]
    if not rows:
        return "<p>No request failed.</p>"
    head = "<tr><th>tasks</th><th>batch</th><th>code</th><th>requests</th></tr>"
    return f"<table><caption>Failed requests</caption>{head}{''.join(rows)}</table>"
