"""The Flink runner beside the plain runner, turn by turn, on a Flink cluster of its own with TLS."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from harness import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools" / "queue"))

from runners import compare

from strongroom.streaming.flink.cluster import Size, down, up
from strongroom.streaming.flink.home import FlinkHome, FlinkMissing, JavaMissing

TARGET: Final = ">= 0.85"


def flink(report: Report, folder: Path, *, quick: bool) -> None:
    """Measure both with records of four numbers; say so where Flink's environment is missing."""
    try:
        home = FlinkHome.find()
    except (FlinkMissing, JavaMissing) as problem:
        sys.stderr.write(f"skipped: {problem.sentence}\n")
        return
    where = folder / "flink"
    cluster = up(where, home, Size(slots=1))
    try:
        found = compare(folder, cluster, home, count=10_000 if quick else 40_000, turns=1 if quick else 3)
    finally:
        down(where)
    for name, turns in (("plain", found.plain), ("Flink", found.flink)):
        report.add(f"{name} runner, turn by turn: best", max(each.rate for each in turns), "records/s")
        report.add(f"{name} runner: CPU", min(each.cpu_us for each in turns), "us/record")
    report.add("load of the machine before the turns, at most",
               max(each.load for each in (*found.plain, *found.flink)), "processes")  # fmt: skip
    report.add("Flink runner / plain runner, records per second of CPU", found.cpu, "ratio")
    report.add("Flink runner / plain runner", found.rates, "ratio", target=TARGET)
