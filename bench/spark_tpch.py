"""22 queries derived from TPC-H (not comparable with published results): a trusted session against plain Spark.

Three drivers are kept: plain, trusted (`strongroom spark submit`), plain again. Each round asks every query of each of
them, one after another, beginning with another one each time; what counts is the CPU-seconds of the driver's whole
process tree, JVMs and Python workers. The median over the rounds of one query divided by plain's is that query's ratio;
plain ÷ plain is what ratios are worth here. Digests of the rows have to agree.

STRONGROOM_BENCH_SCALE is the scale (default 0.1; 1 is the long bench), STRONGROOM_BENCH_ROUNDS the rounds after one to
warm up (default 5), STRONGROOM_BENCH_MASTER the master (default: two executors of their own, over TCP).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import geometric_mean, median
from typing import IO

from harness import Report
from strongroom.analytics.examples import SUBMIT, Asked, data, runner

SCALE = float(os.environ.get("STRONGROOM_BENCH_SCALE", "0.1"))
ROUNDS = int(os.environ.get("STRONGROOM_BENCH_ROUNDS", "5"))
MASTER = os.environ.get("STRONGROOM_BENCH_MASTER", "local-cluster[2,1,1024]")
SETTINGS = {
    "spark.master": MASTER,
    "spark.sql.shuffle.partitions": "8",
    "spark.driver.memory": "2g",
    "spark.executor.memory": "1g",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
}
START_TIMEOUT_S, QUERY_TIMEOUT_S, END_TIMEOUT_S = 300.0, 600.0, 60.0
DRIVER = Path(__file__).with_name("spark_tpch_driver.py")
TICKS = os.sysconf("SC_CLK_TCK")
TARGET = "<= 1.2"


@dataclass(slots=True)
class Session:
    """One driver, its connection, and the CPU-seconds of each query in each round."""

    name: str
    process: subprocess.Popen[bytes]
    stream: IO[str]
    costs: dict[str, list[float]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def ask(self, query: Path, *, kept: bool) -> None:
        """Have one query run; keep what it cost."""
        before = tree_cpu_seconds(self.process.pid)
        print(query, file=self.stream, flush=True)
        digest = self.stream.readline().strip()
        cost = tree_cpu_seconds(self.process.pid) - before
        if not digest:
            raise SystemExit(f"{self.name} has ended in {query.stem}")
        if self.digests.setdefault(query.stem, digest) != digest:
            raise SystemExit(f"{self.name}: {query.stem} has another answer than before")
        if kept:
            self.costs.setdefault(query.stem, []).append(cost)

    def end(self) -> None:
        """Close the connection and wait for the driver."""
        self.stream.close()
        try:
            self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait(END_TIMEOUT_S)


def tree_cpu_seconds(root: int) -> float:
    """Return the CPU-seconds, user and system, of a process, what it has started, and what of that has ended."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(int(words[1]), []).append(int(entry.name))
            ticks[int(entry.name)] = sum(int(word) for word in words[11:15])  # utime, stime, and of waited-for children
    total, waiting = 0, [root]
    while waiting:
        each = waiting.pop()
        total += ticks.get(each, 0)
        waiting += children.get(each, ())
    return total / TICKS


def started(name: str, words: Sequence[str], folder: Path, tables: Path, environ: dict[str, str]) -> Session:
    """Start one driver, and wait until it has the tables open."""
    place = folder / f"{name}.socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen(1)
        listener.settimeout(START_TIMEOUT_S)
        log = (folder / f"{name}.log").open("wb")
        command = [*words, str(DRIVER), str(place), str(tables)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ)
        link, _ = listener.accept()
    link.settimeout(QUERY_TIMEOUT_S)
    stream = link.makefile("rw", encoding="utf-8")
    if stream.readline() != "ready\n":
        sys.exit(f"{name} did not start:\n{(folder / f'{name}.log').read_text(errors='replace')[-3000:]}")
    return Session(name, process, stream)


def plain(name: str, folder: Path, tables: Path) -> Session:
    """Start a driver of plain Spark, with the same memory, partitions and kind of folder for shuffles."""
    own = folder / name
    own.mkdir()
    settings = {**SETTINGS, "spark.ui.enabled": "false", "spark.local.dir": str(own / "local")}
    (own / "spark-defaults.conf").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    shutil.copy(Path(__file__).with_name("spark_tpch_log4j2.properties"), own / "log4j2.properties")
    environ = {**os.environ, "SPARK_CONF_DIR": str(own), "PYSPARK_PYTHON": sys.executable}
    return started(name, [sys.executable], folder, tables, environ)


def trusted(name: str, folder: Path, tables: Path) -> Session:
    """Start a driver through `strongroom spark submit`."""
    words = [*SUBMIT, "--no-ui", "--no-progress", "--master", MASTER]
    words += [word for key, value in SETTINGS.items() if key not in LOCKED for word in ("--conf", f"{key}={value}")]
    return started(name, words, folder, tables, dict(os.environ))


LOCKED = {"spark.master", "spark.driver.bindAddress", "spark.driver.host"}  # submit's own


def measured(sessions: list[Session], queries: list[Path]) -> None:
    """Ask every query of every session in each round; the first round warms up."""
    for number in range(ROUNDS + 1):
        for place, query in enumerate(queries):
            turn = (number + place) % len(sessions)
            for session in sessions[turn:] + sessions[:turn]:
                session.ask(query, kept=number > 0)
        print(f"round {number} of {ROUNDS} done", file=sys.stderr)
    if any(session.digests != sessions[0].digests for session in sessions):
        sys.exit("the sessions' answers differ")


def ratios(above: Session, below: Session) -> dict[str, float]:
    """Return each query's median cost, divided by the other session's."""
    return {query: median(costs) / max(median(below.costs[query]), 1 / TICKS) for query, costs in above.costs.items()}


def main() -> int:
    """Measure, print, write."""
    report = Report("spark_tpch", command="python bench/spark_tpch.py")
    makers: list[tuple[str, Callable[[str, Path, Path], Session]]]
    makers = [("plain", plain), ("trusted", trusted), ("plain-again", plain)]
    memory = Path("/dev/shm")  # noqa: S108  # a private folder is made in it; submit puts its own there too
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        (Path(folder) / "tables").mkdir()
        tables = data.tables(Asked(size=SCALE), Path(folder) / "tables")
        sessions: list[Session] = []
        try:
            sessions += [maker(name, Path(folder), tables) for name, maker in makers]
            measured(sessions, sorted((runner.programs() / "tpch").glob("q*.sql")))
        finally:
            for session in sessions:
                session.end()
    first, secured, again = sessions
    # Held against both plain sessions, so that the luck of one does not decide.
    both = Session(
        "both", first.process, first.stream, {each: first.costs[each] + again.costs[each] for each in first.costs}
    )
    for query, ratio in ratios(secured, both).items():
        report.add(f"{query} trusted ÷ plain", ratio, "CPU")
    report.add(f"scale {SCALE:g} plain, 22 queries", sum(median(costs) for costs in both.costs.values()), "CPU-s")
    report.add("plain ÷ plain, geometric mean", geometric_mean(ratios(again, first).values()), "CPU")
    report.add("plain ÷ plain, least of the queries", min(ratios(again, first).values()), "CPU")
    report.add("plain ÷ plain, most of the queries", max(ratios(again, first).values()), "CPU")
    report.add("trusted ÷ plain, geometric mean", geometric_mean(ratios(secured, both).values()), "CPU", target=TARGET)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
