"""What one run writes: a JSON file with the machine, the versions, every number and the targets; tables on stdout."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from serving.environments import BENCH, versions
from serving.measure import Effort
from serving.parts import Findings
from serving.targets import targets

PACKAGES: Final = ("numpy", "onnxruntime", "grpcio", "uvloop", "orjson", "httptools", "pysimdjson", "cryptography")


def machine() -> dict[str, object]:
    """Return what kind of machine this is, and how busy others keep it."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": [round(each, 2) for each in os.getloadavg()],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def document(findings: Findings, effort: Effort, command: str, before: dict[str, object]) -> dict[str, object]:
    """Return everything as JSON's types."""
    peers = {name: {p: v for p, v in versions(name).items() if p in WANTED[name]} for name in WANTED}
    saturation = findings.saturation
    return {
        "command": command,
        "commit": _commit(),
        "machine": before | {"load_average_at_the_end": machine()["load_average"]},
        "versions": {"ours": {name: version(name) for name in PACKAGES}, **peers},
        "effort": asdict(effort),
        "targets": [asdict(each) | {"holds": each.holds} for each in targets(findings)],
        "measurements": [asdict(cell) | asdict(found) for cell, found in findings.cells.items()],
        "saturation": asdict(saturation) | {"share": saturation.share} if saturation else None,
        "memory_mb": asdict(findings.memory) if findings.memory else None,
        "missing": findings.missing,
    }


WANTED: Final = {
    "triton": ("nvidia-pytriton", "tritonclient", "onnxruntime", "numpy"),
    "mlserver": ("mlserver", "grpcio", "onnxruntime", "numpy", "pydantic"),
    "obvious": ("uvicorn", "uvloop", "httptools", "orjson", "onnxruntime", "numpy"),
}


def _commit() -> str:
    try:
        words = ["git", "-C", str(BENCH), "describe", "--always", "--dirty"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def write(path: Path, written: dict[str, object]) -> None:
    """Write the JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def show(findings: Findings) -> None:
    """Print CPU time per request first, then rates and latencies; then the targets, and what is missing."""
    table = Table("model", "transport", "server", title="CPU time per request (least of the runs)")
    for name in ("CPU us", "req / CPU-s", "req/s", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    for cell, found in findings.cells.items():
        rates = (f"{found.cpu_us:,.1f}", f"{1e6 / found.cpu_us:,.0f}", f"{found.per_s:,.0f}")
        latencies = (f"{found.p50_ms:.2f}", f"{found.p99_ms:.2f}")
        table.add_row(cell.model, cell.transport, cell.server, *rates, *latencies)
    console = Console(width=120)
    console.print(table)
    aims = Table("target", "value", "unit", "wanted", "met", title="Targets, within this run")
    for aim in targets(findings):
        met = {True: "yes", False: "NO", None: ""}[aim.holds]
        aims.add_row(aim.measure, "not measured" if aim.value is None else f"{aim.value:g}", aim.unit, aim.target, met)
    console.print(aims)
    for what, why in findings.missing.items():
        console.print(f"missing: {what}: {why}", markup=False)
