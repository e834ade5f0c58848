"""The tables of `docs/performance.md`, written from `bench/results/serving.json` by a whole run.

`cd bench && python -m serving.markdown` writes them again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from harness import RESULTS
from serving.environments import BENCH

PAGE: Final = BENCH.parent / "docs" / "performance.md"
BEGIN, END = "<!-- bench/results/serving.json: begin -->", "<!-- bench/results/serving.json: end -->"
TRANSPORTS: Final = ("", "plaintext", "TLS", "mTLS")
UNITS: Final = {
    "tiny": (1, "µs"),
    "image": (1, "µs"),
    "json": (1e-3, "ms"),
    "json-image": (1e-3, "ms"),
    "resnet50": (1e-3, "ms"),
}
TITLES: Final = {
    "tiny": "half_plus_two, 3 floats",
    "image": "602 KB tensor, mean",
    "resnet50": "ResNet50 v1.5 fp32",
    "json": "150k floats as JSON, one list",
    "json-image": "150k floats as JSON, an image",
}


def tables(written: Mapping[str, Any]) -> str:
    """Return the Markdown of a result file: CPU time per request of every server, then the targets."""
    parts = [_machine(written)]
    for model, title in TITLES.items():
        cells = [cell for cell in written["measurements"] if cell["model"] == model]
        if cells:
            parts.append(_costs(title, *UNITS[model], cells))
    return "\n".join([*parts, _targets(written["targets"]), *_missing(written["missing"])])


def _machine(written: Mapping[str, Any]) -> str:
    machine = written["machine"]
    load = f"load average {machine['load_average'][0]} at the start, {machine['load_average_at_the_end'][0]} at the end"
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['at'][:10]}, commit {written['commit']}, {load}.\n"
    )


def _costs(title: str, factor: float, unit: str, cells: Sequence[Mapping[str, Any]]) -> str:
    used = [each for each in TRANSPORTS if any(cell["transport"] == each for cell in cells)]
    found = {(cell["server"], cell["transport"]): f"{cell['cpu_us'] * factor:.3g}" for cell in cells}
    servers = dict.fromkeys(cell["server"] for cell in cells)
    lines = [
        f"| {title}: CPU {unit} a request | {' | '.join(each or 'in process' for each in used)} |",
        _rule(len(used)),
    ]
    lines += [f"| {server} | {' | '.join(found.get((server, each), '') for each in used)} |" for server in servers]
    return "\n".join(lines) + "\n"


def _targets(aims: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| target | wanted | found | met |", "|---|---|---|---|"]
    for aim in aims:
        found = "not measured" if aim["value"] is None else f"{aim['value']:.3g} {aim['unit']}"
        met = {True: "yes", False: "**no**", None: ""}[aim["holds"]]
        lines.append(f"| {aim['measure']} | {aim['target'].replace('>=', '≥').replace('<=', '≤')} | {found} | {met} |")
    return "\n".join(lines) + "\n"


def _missing(missing: Mapping[str, str]) -> list[str]:
    return [f"Missing in this run: {', '.join(sorted(missing))}.\n"] if missing else []


def _rule(columns: int) -> str:
    return "|---" * (columns + 1) + "|"


def renewed(page: str, written: Mapping[str, Any]) -> str:
    """Return the page with its tables renewed. Raises ValueError where it has no place for them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} has no {BEGIN}")
    return f"{before}{BEGIN}\n{tables(written)}{END}{after}"


def update(results: Path = RESULTS / "serving.json", page: Path = PAGE) -> None:
    """Renew the page from the results."""
    written = json.loads(results.read_text(encoding="utf-8"))
    page.write_text(renewed(page.read_text(encoding="utf-8"), written), encoding="utf-8")


if __name__ == "__main__":
    update()
