"""The queue's worker as a PyFlink job: a source that ticks, and a function that says at each tick what a worker did.

Runs inside Flink. Flink has no connector for Redis, so the worker talks to Redis by itself, as it does in a plain
process, and Flink starts, places, restarts and scales it: one worker for each subtask, in a Python process of its own.
A tick lasts at most TICK_MS, so checkpoint barriers pass between two of them while the worker goes on in its thread;
there is no state of Flink's to restore, since the queue's is in Redis. Source: spec `cluster-serving.md` section 12.2.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import FlatMapFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.connectors.base import Sink
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.java_gateway import get_gateway

from strongroom.clusterserving.config import QueueConfig
from strongroom.pki import disk
from strongroom.serving.operations.identity import platform_of
from strongroom.streaming.flink.launching import LaunchedWorker, check_proven, words_of
from strongroom.streaming.flink.queueing import NAME
from strongroom.streaming.flink.working import WorkerThread
from strongroom.streaming.worker.assembly import open_worker

MAX_CONFIG_BYTES: Final = 1024 * 1024
TICK_MS: Final = 200
TICKS_AT_ONCE: Final = 5  # that Flink hands to Python in one bundle; a barrier waits for the whole of it
LAST_TICK: Final = 2**62
_log: Final = logging.getLogger("strongroom.flink")


class Serve(FlatMapFunction):  # type: ignore[misc]  # pyflink is not installed where this is type-checked
    """One worker of the queue. Yields how many records it dealt with since the tick before."""

    def __init__(self, config: str, job: str, launch: str = "") -> None:
        """`config`: the path of config.yaml on the task managers. `job`: the queue's name.

        `launch`: the command that launches a worker which proves itself, instead of one in this process.
        """
        self._config, self._job, self._launch = config, job, launch
        self._consumer = ""
        self._working: WorkerThread | LaunchedWorker | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Note the worker's name. The worker begins with the first tick: Flink hears at once of what fails there."""
        self._consumer = f"flink-{self._job}-{runtime_context.get_index_of_this_subtask()}"

    def flat_map(self, value: int) -> Iterator[int]:  # noqa: ARG002  # a tick's number means nothing
        """Let the worker work for one tick; the first one lasts until it is open."""
        if self._working is None:
            self._working = self._begin()
            # Where a job is cancelled or fails, Flink hangs up, and the process ends without close(). This runs before
            # threads are waited for; atexit would come too late. Python 3.11, which this environment is pinned to.
            threading._register_atexit(self._working.close)  # type: ignore[attr-defined]  # noqa: SLF001  # none is public
            self._working.await_open()
            _log.info("%s works", self._consumer)
        yield self._working.tick(TICK_MS / 1000)

    def _begin(self) -> WorkerThread | LaunchedWorker:
        # Beam carries each line to Java in a call of its own: a line for each batch would cost as much as the batch.
        logging.getLogger("strongroom.queue").setLevel(logging.WARNING)
        if self._launch:
            return LaunchedWorker(words_of(self._launch))
        config, _ = QueueConfig.parse(disk.read_bounded(Path(self._config), limit=MAX_CONFIG_BYTES))
        check_proven(config, platform_of(os.environ))
        return WorkerThread(partial(open_worker, config, self._consumer))

    def close(self) -> None:
        """Answer what is in hand, and take leave of the queue."""
        if self._working is not None:
            self._working.close()


def main(arguments: list[str]) -> None:
    """Describe the job and submit it; it never ends by itself."""
    parser = argparse.ArgumentParser(description="Serve a queue as a Flink job.")
    parser.add_argument("--config", required=True, help="config.yaml, at the same path on every task manager")
    parser.add_argument("--job", required=True, help="the queue's name")
    parser.add_argument("--launch", default="", help="what launches a worker that proves itself")
    parser.add_argument("--checkpoint-ms", type=int, default=10_000)
    options = parser.parse_args(arguments)
    configuration = Configuration()
    for key, value in _settings(options.checkpoint_ms).items():
        configuration.set_string(key, value)
    environment = StreamExecutionEnvironment.get_execution_environment()
    environment.configure(configuration)
    # Numbers as fast as they are taken: it is the tick that takes its time, and nothing is done with the counts.
    numbers = NumberSequenceSource(0, LAST_TICK)
    nowhere = Sink(get_gateway().jvm.org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink())
    ticks = environment.from_source(numbers, WatermarkStrategy.no_watermarks(), "ticks")
    counts = ticks.flat_map(Serve(options.config, options.job, options.launch), Types.LONG()).name("serve").uid("serve")
    counts.sink_to(nowhere).name("counts").uid("counts")
    environment.execute(f"{NAME} {options.job}")


def _settings(checkpoint_ms: int) -> dict[str, str]:
    return {
        "execution.checkpointing.interval": f"{checkpoint_ms} ms",
        "execution.checkpointing.timeout": "60 s",
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "1 s",
        "restart-strategy.exponential-delay.max-backoff": "60 s",
        "python.fn-execution.bundle.size": str(TICKS_AT_ONCE),
        "python.fn-execution.bundle.time": str(TICK_MS),
        "python.metric.enabled": "false",
    }


if __name__ == "__main__":
    # By its name, so that task managers import it instead of taking a copy along.
    importlib.import_module("strongroom.streaming.flink.jobs.serving").main(sys.argv[1:])
