"""The worker of a Flink subtask: what a plain process opens, under the subtask's name."""

from __future__ import annotations

from pathlib import Path

from strongroom.clusterserving.config import QueueConfig
from strongroom.pki import disk
from strongroom.streaming.images.preparation import Preparation
from strongroom.streaming.link.calls import Bounds
from strongroom.streaming.link.place import Place
from strongroom.streaming.link.queue import AsyncQueue
from strongroom.streaming.model.opening import open_predictor
from strongroom.streaming.worker.options import WorkerOptions
from strongroom.streaming.worker.worker import ServingWorker


async def open_worker(path: Path, consumer: str) -> ServingWorker:
    config, _ = QueueConfig.parse(disk.read_bounded(path, limit=1024 * 1024))
    predictor = await open_predictor(config)
    queue = AsyncQueue(Place.of(config), config.job, Bounds.of(config))
    options = WorkerOptions(job=config.job, consumer=consumer, batch_size=config.batch_size)
    return ServingWorker(queue, predictor, Preparation.from_config(config), options)
