"""A real Redis (TLS, a user a role) with a real worker in a thread of its own, and clients of every kind on it."""

import asyncio
import contextlib
import threading

import numpy as np
import pytest

from strongroom.clusterserving.config import QueueConfig
from strongroom.errors import Refused
from strongroom.streaming.client.compat_port import CompatLimits, CompatPort
from strongroom.streaming.client.compat_upstream import QueueUpstream, compat_place
from strongroom.streaming.images.preparation import Preparation
from strongroom.streaming.link.queue import AsyncQueue, Bounds
from strongroom.streaming.model.predictor import ModelIdentity
from strongroom.streaming.worker.options import WorkerOptions
from strongroom.streaming.worker.worker import ServingWorker
from strongroom.tfserving.datatypes import DataType
from strongroom.tfserving.signatures import Signature, TensorSpec


class ModelBroke(Refused):
    """The model of a test fails."""


class Doubling:
    """`y = 2 t`; fails on -1, and does not run before `free` is set."""

    def __init__(self):
        self.identity = ModelIdentity("doubling", 1, "00" * 32)
        self.signature = Signature(
            inputs={"t": TensorSpec(name="t:0", dtype=DataType.DT_FLOAT, shape=(-1, 4))},
            outputs={"y": TensorSpec(name="y:0", dtype=DataType.DT_FLOAT, shape=(-1, 4))},
        )
        self.batchable = True
        self.not_ready_reason = None
        self.free = asyncio.Event()

    async def predict(self, inputs):
        await self.free.wait()
        if (inputs["t"] == -1).any():
            raise ModelBroke("the model does not like -1")
        return {"y": 2 * inputs["t"]}

    async def close(self):
        pass


class WorkerThread:
    """A worker with an event loop of its own."""

    def __init__(self, place, job, *, free=True, keys=None, bounds=None, **options):
        self.model, self._ready = Doubling(), threading.Event()
        self._bounds = Bounds(**(bounds or {}))
        self._queue_place, self._job, self._keys, self._options = place, job, keys, options
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(free)), daemon=True)
        self._thread.start()
        self._ready.wait(20)

    async def _run(self, free):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if free:
            self.model.free.set()
        queue = AsyncQueue(self._queue_place, self._job, self._bounds)
        options = WorkerOptions(job=self._job, consumer="w", block_ms=50, heartbeat_s=0.5, **self._options)
        worker = ServingWorker(queue, self.model, Preparation(), options, keys=self._keys)
        running = asyncio.create_task(worker.run(self._stop))
        probe = AsyncQueue(self._queue_place, self._job)
        while not running.done() and not any(each.alive for each in await probe.workers()):  # noqa: ASYNC110  # its heartbeat is in Redis
            await asyncio.sleep(0.01)
        await probe.close()
        self._ready.set()
        await running

    def free(self):
        self._loop.call_soon_threadsafe(self.model.free.set)

    def stop(self):
        self.free()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()


class Bench:
    """One job: `options(...)` for clients of it, `worker(...)` starts a worker that ends with the test."""

    def __init__(self, redis_job, stack):
        self.redis, self.job, self._stack = redis_job, redis_job.job, stack

    def options(self, role="client", own=None, **more):
        place = self.redis.place(role, own)
        known = {
            "host": place.host, "port": place.port, "name": self.job.name, "ca": place.ca_file, "cert": place.cert_file,
            "key": place.key_file, "username": place.user, "password_file": place.password_file,
        }  # fmt: skip
        return {**known, **({"own": own} if own else {}), **more}

    def worker(self, **options):
        made = WorkerThread(self.redis.place("worker"), self.job, **options)
        self._stack.callback(made.stop)
        return made

    def open(self, client):
        """Return a client that is closed with the test."""
        self._stack.callback(client.close)
        return client

    def left(self):
        """Return the names of all keys of the job."""
        return sorted(key.decode() for key in self.redis.admin("KEYS", f"*{self.job.name}*"))


@pytest.fixture
def bench(redis_job):
    with contextlib.ExitStack() as stack:
        yield Bench(redis_job, stack)


@pytest.fixture
def four():
    return np.array([1, 2, 3, 4], np.float32)


class PortThread:
    """The plaintext port of a job, with an event loop of its own."""

    def __init__(self, config, **limits):
        self._config, self._limits, self._ready, self.problem = config, limits, threading.Event(), None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(20)

    async def _run(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        place = compat_place(self._config)
        bounds = Bounds(max_records=self._config.max_stream_length, max_record_bytes=self._config.max_record_bytes)
        async with AsyncQueue(place, self._config.job, bounds, patience_s=0.2) as queue:
            limits = CompatLimits(max_record_bytes=self._config.max_record_bytes, **self._limits)
            async with CompatPort(QueueUpstream(queue), self._config.job, 0, limits=limits) as opened:
                self.opened, self.port = opened, opened.port
                self._ready.set()
                await self._stop.wait()

    def stop(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def compat(bench):
    """Return what opens the plaintext port for the test's job: `compat(connections=1, config={…}).port`."""

    def start(config=None, **limits):
        user = bench.redis.place("compat")
        more = {
            "compatUser": user.user, "compatPasswordFile": user.password_file, "compatCertFile": user.cert_file,
            "compatKeyFile": user.key_file,
        }  # fmt: skip
        text = bench.redis.config_yaml("worker", **more, **(config or {}))
        made = PortThread(QueueConfig.parse(text.encode())[0], **limits)
        bench._stack.callback(made.stop)
        return made

    return start
