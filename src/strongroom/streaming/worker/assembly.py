"""From config.yaml to a worker that is ready to run: the model open and warm, Redis' address, the rules of records."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from strongroom.clusterserving.config import QueueConfig
from strongroom.clusterserving.limits import Limits
from strongroom.errors import Unreachable
from strongroom.serving.operations.readiness import Readiness
from strongroom.streaming.images.preparation import Preparation
from strongroom.streaming.link.calls import Bounds
from strongroom.streaming.link.place import Place
from strongroom.streaming.link.queue import AsyncQueue
from strongroom.streaming.model.credentials import open_credentials
from strongroom.streaming.model.opened import OpenedModel
from strongroom.streaming.model.opening import open_predictor
from strongroom.streaming.worker.options import WorkerOptions
from strongroom.streaming.worker.worker import ServingWorker

MOST_ON_ONE_MACHINE = 1024


class ConsumerTaken(Unreachable):
    """Another process on this machine works under the name that this worker was given."""

    code = "SR-QUEUE-CONSUMER"
    fix = "Leave consumerName out, or give each worker its own; --workers N numbers them by itself."


async def open_worker(
    config: QueueConfig, consumer: str, *, environ: Mapping[str, str] | None = None, readiness: Readiness | None = None
) -> ServingWorker:
    """Return a worker; closing it closes its model and its connections.

    Raises what `open_predictor`, `open_credentials` and `Preparation.from_config` raise, and RedisPlaintext,
    RedisSetup, BadJobName.
    """
    preparation = Preparation.from_config(config)
    sealed = await open_credentials(config, environ=environ, readiness=readiness)
    place = Place.of(config, unseal=sealed.read if sealed is not None else None)
    queue = AsyncQueue(place, config.job, Bounds.of(config), patience_s=0)
    predictor = await open_predictor(config, environ=environ, readiness=readiness)
    return ServingWorker(
        queue, predictor, preparation, options_of(config, consumer, predictor),
        keys=predictor.opener, limits=Limits(max_record_bytes=config.max_record_bytes),
        facts={"attestation": predictor.attestation, "sealed_model": predictor.sealed},
    )  # fmt: skip


def options_of(config: QueueConfig, consumer: str, predictor: OpenedModel) -> WorkerOptions:
    """Return what a configuration says of a worker, with the parallelism in force."""
    return WorkerOptions(
        job=config.job,
        consumer=consumer,
        batch_size=config.batch_size,
        batch_wait_us=config.batch_timeout_us,
        claim_idle_ms=config.claim_idle_ms,
        max_deliveries=config.max_deliveries,
        default_deadline_ms=config.default_deadline_ms,
        parallelism=predictor.parallelism,
        threads=predictor.threads,
        require_sealed=config.require_sealed,
    )


class ConsumerName:
    """A consumer's name that no other process of this machine has: the same after a restart, free after a crash.

    It is held as an abstract Unix socket, which the kernel takes back from a process that ends.
    """

    def __init__(self, config: QueueConfig, number: int | None = None) -> None:
        """`number`: which of several workers this is. Raises ConsumerTaken."""
        base = config.consumer_name or socket.gethostname()
        self._held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        fixed = config.consumer_name is not None
        names = (
            [base] if fixed and number is None else [f"{base}-{at}" for at in range(number or 1, MOST_ON_ONE_MACHINE)]
        )
        for name in names[:1] if fixed else names:
            try:
                self._held.bind(
                    f"\0strongroom-queue\0{config.redis_host}:{config.redis_port}\0{config.job_name}\0{name}"
                )
            except OSError:
                continue
            self.name = name
            return
        self._held.close()
        raise ConsumerTaken(f"the name {names[0]} is another worker's")

    def close(self) -> None:
        """Give the name back."""
        self._held.close()
