"""Sealing a CSV as a data set, in turn with a plain copy of it: CPU-seconds, with the spread of copy ÷ copy beside.

`strongroom data seal` and `data open` are measured as whole processes, Python's start and the keys included; the
streaming writer, which tasks of Spark jobs use, and reading are measured within this one. STRONGROOM_BENCH_DIR chooses
the disk (default: the temporary folder), STRONGROOM_BENCH_MIB the size of the file (default: 1024).
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness import Cost, Report, cpu_seconds, measure, typical
from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.sealing.read import OpenDataset
from strongroom.analytics.sealing.write import DatasetWriter
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import Kind

MIB = 1024 * 1024
SIZE = int(os.environ.get("STRONGROOM_BENCH_MIB", "1024")) * MIB
ROUNDS = 5
SEED = 8
PIECE_BYTES = MIB
TARGET = ">= 300"  # MB per CPU-second: the issue's
STRONGROOM = [sys.executable, "-m", "strongroom"]


def make_csv(path: Path, size: int) -> None:
    """Write about `size` bytes of rows: numbers, a name, a time."""
    chance = random.Random(SEED)  # noqa: S311  # rows, not secrets
    rows = "".join(
        f"{number},{chance.randrange(10**9)},name-{chance.randrange(10**6)},2026-01-{1 + number % 28:02} 08:30:00\n"
        for number in range(200_000)
    ).encode()
    with path.open("wb") as stream:
        for _ in range(size // len(rows)):
            stream.write(rows)
        stream.write(rows[: size % len(rows)])
        os.fsync(stream.fileno())


def copy(source: Path, target: Path) -> None:
    """Copy by reading and writing, and make it durable, as sealing does."""
    with source.open("rb") as plain, target.open("wb") as out:
        shutil.copyfileobj(plain, out, PIECE_BYTES)
        os.fsync(out.fileno())


def strongroom(*words: str) -> None:
    """Run a command of ours."""
    subprocess.run([*STRONGROOM, *words], check=True, capture_output=True)


def stream(source: Path, folder: Path, keys: RingKeys) -> None:
    """Seal by pieces, as tasks do that do not know how much comes."""
    with (
        source.open("rb") as plain,
        DatasetWriter(folder, keys, name="bench", key="bench", kind=Kind.CSV) as writer,
        writer.create("rows.csv") as sealed,
    ):
        shutil.copyfileobj(plain, sealed, PIECE_BYTES)
        writer.adopt(sealed.finish(), at=writer.staged("rows.csv"))
        writer.commit()


def verify(folder: Path, keys: RingKeys) -> None:
    """Read every byte."""
    with OpenDataset(folder, keys) as dataset:
        dataset.verify()


def rounds(folder: Path, source: Path) -> dict[str, list[Cost]]:
    """Measure each way in turn, and remove what it wrote."""
    keys = RingKeys([KeyRing.fresh("bench")])
    file_keys = f"file:{folder / 'keys'}"
    seal = ("data", "seal", str(source), "--key", "bench", "--keys", file_keys, "--out")
    strongroom("data", "key", "bench", "--file", str(folder / "keys"))
    strongroom(*seal, str(folder / "held"))
    stream(source, folder / "held-stream", keys)
    ways: dict[str, Callable[[Path], None]] = {
        "copy": lambda out: copy(source, out),
        "copy again": lambda out: copy(source, out),
        "data seal": lambda out: strongroom(*seal, str(out)),
        "streaming writer": lambda out: stream(source, out, keys),
        "data open": lambda out: strongroom(
            "data", "open", str(folder / "held"), "--keys", file_keys, "--out", str(out)
        ),
        "reading": lambda _: verify(folder / "held-stream", keys),
    }
    costs: dict[str, list[Cost]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, do in ways.items():
            out = folder / "out"
            costs[way].append(measure(lambda do=do, out=out: do(out)))  # type: ignore[misc]  # bound now
            if out.is_dir():
                shutil.rmtree(out)
            else:
                out.unlink(missing_ok=True)
    return costs


def main() -> int:
    report = Report("data_sealing", command="uv run python bench/data_sealing.py")
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-", dir=os.environ.get("STRONGROOM_BENCH_DIR")) as name:
        source = Path(name) / "rows.csv"
        make_csv(source, SIZE)
        costs = rounds(Path(name), source)
    spread = [one.cpu_s / two.cpu_s for one, two in zip(costs["copy"], costs["copy again"], strict=True)]
    report.add("copy ÷ copy, least", min(spread), "ratio")
    report.add("copy ÷ copy, most", max(spread), "ratio")
    for way, runs in costs.items():
        cost = typical(runs)
        target = TARGET if way in {"data seal", "streaming writer", "reading"} else None
        report.add(f"{way}: speed", SIZE / 1e6 / cost.cpu_s, "MB/CPU-s", target=target)
        report.add(f"{way}: wall", SIZE / 1e6 / cost.wall_s, "MB/s")
    report.add("this bench: CPU in all", cpu_seconds(), "CPU-s")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
