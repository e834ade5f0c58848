"""The queue from end to end: rate and latency with a cheap model, the share of the engine with a real one, sealing.

    python bench/cluster_serving.py [--quick] [--original DIR]

Everything is on this machine: clients, a Redis of its own over TLS with client certificates, and one worker process.
Ratios are of runs in turn; CPU is of the processes' own clocks. DIR holds the original's server, put there by
bench/peers/cluster_serving_original.py install; it is stopped while ours is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from harness import Report, percentile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools" / "queue"))
sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

from cluster_serving_install import PeerMissing
from cluster_serving_original import Original
from scene import Scene, cpu_seconds, linear

from cluster_serving_flink import flink
from strongroom.client.extras import MissingExtra
from strongroom.clusterserving.config import QueueConfig
from strongroom.clusterserving.values import Image
from strongroom.demo.model import cache_folder, servable
from strongroom.streaming.bench import numbers, senders
from strongroom.streaming.bench.plan import Plan, picture
from strongroom.streaming.client import Client
from strongroom.streaming.images.preparation import Preparation
from strongroom.streaming.model.opening import open_predictor

FLOATS: Final = np.array([1, 2, 3, 4], np.float32)
CHEAP_TARGET: Final = 4400  # records a second: ten times what the original reached without TLS
BATCH: Final = 32


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: records per second, and CPU microseconds a record of clients, worker and Redis."""

    rate: float
    client_us: float
    worker_us: float
    redis_us: float


def through(scene: Scene, inputs: Mapping[str, Any], count: int, *, form: str = "raw", processes: int = 1) -> Measured:
    """Send records and collect their results, as `strongroom queue bench` does."""
    worker, redis = scene.workers[0].process.pid, scene.redis.pid
    if redis is None:
        raise AssertionError("Redis runs")
    before = cpu_seconds(worker), cpu_seconds(redis)
    plan = Plan(settings=scene.settings(form=form), images=count, processes=processes, inputs=inputs, window=1024)
    found = numbers.numbers(senders.run(plan, lambda _seen, _bad: None), images=count)
    if found["invalid"]:
        raise AssertionError(f"records without a prediction: {found['errors']}")
    spent = cpu_seconds(worker) - before[0], cpu_seconds(redis) - before[1]
    share = 1e6 / count
    return Measured(found["images_per_s"], found["client_cpu_s"] * share, spent[0] * share, spent[1] * share)


def latencies_ms(scene: Scene, count: int) -> list[float]:
    """Return how long one record after the other takes, each waited for."""
    found = []
    with Client.with_settings(scene.settings()) as client:
        for _ in range(count):
            began = time.perf_counter()
            client.predict({"t": FLOATS})
            found.append(1000 * (time.perf_counter() - began))
    return found[count // 10 :]


async def engine_alone(parsed: QueueConfig, inputs: Mapping[str, Image], count: int) -> float:
    """Return the pictures per second of one process without a queue: full batches, the next decoded while one runs."""
    preparation = Preparation.from_config(parsed)
    model = await open_predictor(parsed)

    def batch() -> dict[str, Any]:
        rows = [preparation.prepare([inputs], model.signature) for _ in range(BATCH)]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    try:
        await model.predict(batch())
        began = time.perf_counter()
        following = await asyncio.to_thread(batch)
        for left in range(count // BATCH, 0, -1):
            running = asyncio.ensure_future(model.predict(following))
            if left > 1:
                following = await asyncio.to_thread(batch)
            await running
        return count / (time.perf_counter() - began)
    finally:
        await model.close()


def cheap(report: Report, folder: Path, *, quick: bool) -> None:
    """Measure records of four numbers against a model that costs nearly nothing."""
    count = 10_000 if quick else 40_000
    with Scene.make(folder / "cheap", model=linear(), keys={"batchSize": 64}) as scene:
        scene.await_ready(scene.start_worker(1))
        through(scene, {"t": FLOATS}, 2_000)
        raw = best([through(scene, {"t": FLOATS}, count) for _ in range(1 if quick else 3)])
        arrow = best([through(scene, {"t": FLOATS}, count, form="arrow") for _ in range(1 if quick else 3)])
        waited = latencies_ms(scene, 300 if quick else 1500)
    report.add("4 numbers, raw, TLS, end to end", raw.rate, "records/s", target=f">= {CHEAP_TARGET}")
    for name, value in (("client", raw.client_us), ("worker", raw.worker_us), ("Redis", raw.redis_us)):
        report.add(f"4 numbers, raw: CPU of the {name}", value, "us/record")
    report.add("4 numbers, the original's Arrow, TLS, end to end", arrow.rate, "records/s", target=f">= {CHEAP_TARGET}")
    report.add("one record after the other, p50", median(waited), "ms", target="<= 2")
    report.add("one record after the other, p99", percentile(waited, 0.99), "ms")


def beside_the_original(report: Report, folder: Path, source: Path | None, *, quick: bool) -> None:
    """Measure records of four numbers through ours over TLS and the original's server without, in turn."""
    ours, theirs = [], []
    count = 10_000 if quick else 40_000
    with (
        Original.started(source) as original,
        Scene.make(folder / "beside", model=linear(), keys={"batchSize": 64}) as scene,
    ):
        scene.await_ready(scene.start_worker(1))
        through(scene, {"t": FLOATS}, 2_000)
        for _ in range(1 if quick else 3):
            ours.append({each: through(scene, {"t": FLOATS}, count, processes=each) for each in (1, 4)})
            theirs.append(original.measure(count // 10))
    keys = {1: "records_per_s", 4: "records_per_s_of_4_senders"}
    for clients, key in keys.items():
        more = ", 4 clients each" if clients > 1 else ""
        ratio = median(our[clients].rate / their[key] for our, their in zip(ours, theirs, strict=True))
        report.add(f"the original's server, no TLS{more}", max(each[key] for each in theirs), "records/s")
        report.add(f"ours over TLS, in turn with it{more}", max(each[clients].rate for each in ours), "records/s")
        report.add(f"ours over TLS / the original{more}", ratio, "ratio")
    at_best = median(
        max(our[clients].rate for clients in keys) / max(their[key] for key in keys.values())
        for our, their in zip(ours, theirs, strict=True)
    )
    report.add("ours over TLS / the original, each at its best", at_best, "ratio")
    fed = max(each["records_per_s_without_client"] for each in theirs)
    report.add("the original's server, no TLS, fed without its client", fed, "records/s")
    cpu = median(each[1].worker_us + each[1].redis_us for each in ours)
    report.add("ours over TLS: CPU of worker and Redis", cpu, "us/record")
    report.add("the original: CPU of Flink and Redis", median(each["server_cpu_us"] for each in theirs), "us/record")
    report.add("the original: one after the other, p50", min(each["p50_ms"] for each in theirs), "ms")


def engine_bound(report: Report, folder: Path, *, quick: bool) -> None:
    """Measure pictures against EfficientNet-Lite0, beside the engine alone; decoding is counted on both sides."""
    count = 320 if quick else 1280
    model = servable(cache_folder(os.environ))
    inputs = {"t": picture(None)}
    with Scene.make(folder / "engine", model=model, keys={"batchSize": BATCH, "threadPerModel": 2}) as scene:
        config, _ = QueueConfig.parse(scene.config().read_bytes())
        scene.await_ready(scene.start_worker(1))
        through(scene, inputs, BATCH)
        ratios, rates = [], []
        for _ in range(1 if quick else 5):
            alone = asyncio.run(engine_alone(config, inputs, count))
            queue = through(scene, inputs, count)
            ratios.append(queue.rate / alone)
            rates.append((alone, queue.rate))
    report.add("EfficientNet-Lite0, JPEG 224x224: engine alone", median(each for each, _ in rates), "images/s")
    report.add("EfficientNet-Lite0, JPEG 224x224: through the queue", median(each for _, each in rates), "images/s")
    report.add("through the queue / engine alone", median(ratios), "ratio", target=">= 0.9")


def best(runs: list[Measured]) -> Measured:
    """Return the run with the highest rate: others had less of the machine."""
    return max(runs, key=lambda each: each.rate)


def main() -> int:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few records, one round")
    parser.add_argument(
        "--original", metavar="DIR", type=Path, help="the original's server, measured in turn with ours"
    )
    arguments = parser.parse_args()
    report = Report("cluster_serving", command="python bench/cluster_serving.py")
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-") as name:
        folder = Path(name)
        cheap(report, folder, quick=arguments.quick)
        try:
            beside_the_original(report, folder, arguments.original, quick=arguments.quick)
        except PeerMissing as problem:
            sys.stderr.write(f"skipped: {problem}\n")
        try:
            engine_bound(report, folder, quick=arguments.quick)
        except MissingExtra as problem:
            sys.stderr.write(f"skipped: {problem.sentence}\n")
        flink(report, folder, quick=arguments.quick)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
