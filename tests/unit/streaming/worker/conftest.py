"""A real Redis (TLS, a user a role), a small model in numpy, and workers between them."""

import asyncio
import contextlib
import inspect
from dataclasses import dataclass, field

import numpy as np
import pytest

from strongroom.clusterserving.record import request_fields
from strongroom.clusterserving.result_reading import read_result
from strongroom.streaming.images.preparation import Preparation
from strongroom.streaming.link.calls import Bounds
from strongroom.streaming.link.queue import AsyncQueue
from strongroom.streaming.model.predictor import ModelIdentity
from strongroom.streaming.worker.options import WorkerOptions
from strongroom.streaming.worker.worker import ServingWorker
from strongroom.tfserving.datatypes import DataType
from strongroom.tfserving.signatures import Signature, TensorSpec

WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3)

IDENTITY = ModelIdentity("tiny", 1, "00" * 32)


def tiny_signature(shape=(-1, 4)):
    return Signature(
        inputs={"x": TensorSpec(name="x:0", dtype=DataType.DT_FLOAT, shape=shape)},
        outputs={"y": TensorSpec(name="y:0", dtype=DataType.DT_FLOAT, shape=(-1, 3))},
    )


@dataclass
class TinyModel:
    """`y = x @ WEIGHTS`, and what a test wants it to do besides. `sizes`: rows of each run."""

    identity: ModelIdentity = IDENTITY
    batchable: bool = True
    not_ready_reason: str | None = None
    sizes: list = field(default_factory=list)
    fails_on: float | None = None
    gate: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    signature: Signature = field(default_factory=tiny_signature)
    closed: bool = False

    async def predict(self, inputs):
        x = inputs["x"]
        self.sizes.append(len(x))
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.fails_on is not None and (x == self.fails_on).any():
            raise RuntimeError(f"no {self.fails_on}")
        return {"y": x.reshape(len(x), -1)[:, :4] @ WEIGHTS}

    async def close(self):
        self.closed = True


class Bench:
    """One job with its clients and workers, for one test on one event loop."""

    def __init__(self, redis, **bounds):
        self.redis, self.job, self.bounds = redis, redis.job, Bounds(**bounds)
        self.queue = redis.aio("client", self.bounds)
        self.group = redis.aio("worker", self.bounds)
        self.model = TinyModel()

    def worker(self, consumer="worker-1", *, model=None, preparation=None, keys=None, **options):
        queue = AsyncQueue(self.redis.place("worker"), self.job, self.bounds, patience_s=0)
        made = WorkerOptions(job=self.job, consumer=consumer, **{"block_ms": 20, "heartbeat_s": 0.05, **options})
        return ServingWorker(queue, model or self.model, preparation or Preparation(), made, keys=keys)

    @contextlib.asynccontextmanager
    async def running(self, *workers):
        """Run workers until the block ends; they drain then."""
        stop = asyncio.Event()
        tasks = [asyncio.create_task(worker.run(stop)) for worker in workers]
        try:
            yield tasks
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def send(self, uri, x=None, *, form="raw", **fields):
        """Take a record in: numbers for the model, or fields as they are; return its entry id."""
        made = request_fields(uri, {"x": np.asarray(x, np.float32)}, serde=form) if x is not None else {"uri": uri}
        return await self.queue.admit({**made, **fields})

    async def raw_result(self, uri):
        """Wait for a result; return its fields."""
        return await self.until(lambda: self.queue.result(uri))

    async def result(self, uri):
        """Wait for a result; return it as a client reads it."""
        return read_result(uri, await self.raw_result(uri))

    async def results(self, uris):
        """Wait for the results of many records; return them as a client reads them."""

        async def all_there():
            found = await self.queue.results(uris)
            return found if all(found) else None

        return [read_result(uri, each) for uri, each in zip(uris, await self.until(all_there), strict=True)]

    async def until(self, condition):
        """Wait until something holds, or is there, that nobody tells of; return it."""
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.002)

    async def passed(self, moment_ms):
        """Wait until a moment of Redis' clock has passed."""

        async def is_past():
            return await self.group.now_ms() > moment_ms

        await self.until(is_past)

    async def fault(self, uri):
        """Wait for an error; return its word."""
        result = await self.result(uri)
        assert result.error is not None, f"{uri} has a prediction"
        return str(result.error.fault)

    async def held(self):
        """Return how many records are in the stream, and how many workers hold."""
        return (await self.queue.backlog()).records, sum((await self.group.pending()).values())

    async def close(self):
        await self.queue.close()
        await self.group.close()


@pytest.fixture
def on_redis():
    """Return what runs a coroutine function with a `Bench` on some Redis' job."""

    def run(redis, main, **bounds):
        async def whole():
            bench = Bench(redis, **bounds)
            try:
                async with asyncio.timeout(60):
                    await bench.group.make_group()
                    await main(bench)
            finally:
                await bench.close()

        asyncio.run(whole())

    return run


@pytest.fixture
def in_queue(redis_job, on_redis):
    """Return what runs a coroutine function with a `Bench` on a job of this test alone."""
    return lambda main, **bounds: on_redis(redis_job, main, **bounds)


@pytest.fixture
def tiny_model():
    """Return the small model's class."""
    return TinyModel


@pytest.fixture
def weights():
    return WEIGHTS
