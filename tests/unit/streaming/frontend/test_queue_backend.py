"""Requests through a real Redis with TLS and users, to a worker and back."""

import asyncio
import contextlib
import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.clusterserving.config import QueueConfig
from strongroom.clusterserving.public_key_file import PublicKeyFile
from strongroom.clusterserving.sealed import QueueKey
from strongroom.secret import Secret
from strongroom.streaming.frontend.backends import Settings
from strongroom.streaming.frontend.metrics import FrontMetrics
from strongroom.streaming.frontend.options import FrontOptions
from strongroom.streaming.frontend.queue_backend import QueueBackend, UnsealedFront
from strongroom.streaming.images import Preparation
from strongroom.streaming.link.calls import Bounds
from strongroom.streaming.link.place import RedisPlaintext
from strongroom.streaming.model.opener import RecordOpener
from strongroom.streaming.model.predictor import ModelIdentity
from strongroom.streaming.worker.options import WorkerOptions
from strongroom.streaming.worker.worker import ServingWorker
from strongroom.tfserving.datatypes import DataType
from strongroom.tfserving.signatures import Signature, TensorSpec


@dataclass
class Doubling:
    """`y = 2 x` for rows of two numbers."""

    identity: ModelIdentity = field(default_factory=lambda: ModelIdentity("doubling", 1, "00" * 32))
    batchable: bool = True
    not_ready_reason: str | None = None
    signature: Signature = field(
        default_factory=lambda: Signature(
            inputs={"x": TensorSpec(name="x:0", dtype=DataType.DT_FLOAT, shape=(-1, 2))},
            outputs={"y": TensorSpec(name="y:0", dtype=DataType.DT_FLOAT, shape=(-1, 2))},
        )
    )

    async def predict(self, inputs):
        return {"y": 2 * inputs["x"]}

    async def close(self):
        pass


@pytest.fixture
def config(redis_job):
    def read(**keys):
        return QueueConfig.parse(redis_job.config_yaml("frontend", modelPath="/none", **keys).encode())[0]

    return read


@pytest.fixture
def worker(redis_job):
    """Return what runs a worker in a thread of its own until the block ends."""

    @contextlib.contextmanager
    def running(model=None, keys=None, require_sealed=False, **bounds):
        loop, ready = asyncio.new_event_loop(), threading.Event()
        stop = asyncio.Event()

        async def work():
            queue = redis_job.aio("worker", Bounds(**bounds))
            made = WorkerOptions(
                job=redis_job.job, consumer="worker-1", block_ms=50, require_sealed=require_sealed
            )  # fmt: skip
            served = ServingWorker(queue, model or Doubling(), Preparation(), made, keys=keys)
            task = asyncio.create_task(served.run(stop))
            while not task.done() and not any(each.alive for each in await queue.workers()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            ready.set()
            await task
            await queue.close()

        thread = threading.Thread(target=lambda: loop.run_until_complete(work()))
        thread.start()
        ready.wait()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()

    return running


def test_d12_ready_once_a_worker_is_there(front, config, worker):
    here = front(config=config())
    assert here.ask("GET", "/readyz")[0] == 503
    with worker():
        while here.ask("GET", "/readyz")[0] != 200:
            pass


def test_instances_go_through_the_queue_and_come_back_in_order(front, config, worker):
    here = front(config=config())
    with worker():
        status, _, body = here.predict(*({"x": [each, 1]} for each in range(40)))
    assert status == 200
    assert [each["data"] for each in body["predictions"]] == [[2 * each, 2] for each in range(40)]
    assert body["predictions"][0]["shape"] == [2]


def test_d09_a_bad_instance_has_its_own_error(front, config, worker):
    here = front(config=config())
    with worker():
        status, _, body = here.predict({"x": [1, 2]}, {"x": [1, 2, 3]}, {"x": [3, 4]})
        assert status == 200
        assert [each.get("data") for each in body["predictions"]] == [[2, 4], None, [6, 8]]
        assert body["predictions"][1]["error"]["code"] == "shape_mismatch"
        assert here.predict({"x": [1, 2, 3]})[0] == 422
        assert here.predict({"a": [1, 2], "b": [1, 2]})[2]["error"]["code"] == "bad_input_names"


def test_an_05_an_image_for_a_model_of_numbers_and_bytes_that_are_none(front, config, worker):
    here = front(config=config())
    with worker():
        status, _, body = here.predict({"x": {"b64": "bm90aGluZw=="}})
        assert (status, body["error"]["code"]) == (400, "bad_image")


def test_d07_two_fronts_on_one_job_each_get_all_and_only_their_results(front, config, worker, redis_job):
    first, second = front(config=config()), front(config=config())
    found = {}

    def ask(here, start):
        found[start] = [here.predict({"x": [start + at, 0]}, {"x": [start + at, 1]})[2] for at in range(12)]

    with worker():
        threads = [threading.Thread(target=ask, args=(here, start)) for here, start in ((first, 0), (second, 1000))]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    for start, bodies in found.items():
        values = [each["data"] for body in bodies for each in body["predictions"]]
        assert values == [[2 * (start + at), 2 * last] for at in range(12) for last in (0, 1)]
    stats = redis_job.admin("INFO", "commandstats")
    assert "cmdstat_keys" not in (stats.decode() if isinstance(stats, bytes) else str(stats))


def test_d12_predict_waits_for_its_deadline_and_says_so_then(front, config):
    here = front(config=config())
    status, _, body = here.predict({"x": [1, 2]}, headers={"X-Request-Timeout-Ms": "300"})
    assert status in {503, 504}
    assert body["error"]["code"] in {"not_ready", "deadline_exceeded"}


def test_a_full_queue_is_503_with_retry_after(front, config, worker, redis_job):
    class Stuck(Doubling):
        async def predict(self, inputs):
            await hold.wait()
            return await super().predict(inputs)

    hold = threading_event_for_async()
    here = front(config=config())
    with worker(Stuck(), max_records=4):
        threads = [threading.Thread(target=here.predict, args=({"x": [1, 2]}, {"x": [1, 2]})) for _ in range(2)]
        for each in threads:
            each.start()
        while (answer := here.predict({"x": [1, 2]}, headers={"X-Request-Timeout-Ms": "200"}))[0] == 504:
            pass
        status, headers, body = answer
        hold.set()
        for each in threads:
            each.join()
    assert (status, body["error"]["code"]) == (503, "queue_full")
    assert headers["retry-after"] == "1"


def threading_event_for_async():
    """Return an event that a test's thread sets and a worker's loop awaits."""

    class Held:
        def __init__(self):
            self._event = threading.Event()
            self.set = self._event.set

        async def wait(self):
            await asyncio.get_running_loop().run_in_executor(None, self._event.wait)

    return Held()


def test_a_request_may_be_sent_again_under_its_key(front, config, worker):
    here = front(config=config())
    with worker():
        headers = {"Idempotency-Key": "order-66"}
        first = here.predict({"x": [1, 2]}, {"x": [3, 4]}, headers=headers)
        again = here.predict({"x": [1, 2]}, {"x": [3, 4]}, headers=headers)
        other = here.predict({"x": [9, 9]}, {"x": [3, 4]}, headers=headers)
    assert first[0] == again[0] == 200
    assert first[2] == again[2]
    assert other[2]["predictions"][0]["error"]["code"] == "conflict"


def test_d19_a_caller_that_leaves_is_not_waited_for(config):
    async def go():
        backend = QueueBackend(config(), FrontMetrics())
        task = asyncio.create_task(backend.predict([{"x": np.ones(2, np.float32)}], timeout_s=60))
        while not len(backend._client.core.waits) and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        left = len(backend._client.core.waits)
        await backend.close()
        return left

    assert asyncio.run(go()) == 0


def test_a_redis_that_is_away_is_503_and_no_address_is_told(front, tmp_path):
    config = QueueConfig.parse(b"modelPath: /none\nredisUrl: unix:///nowhere/at/all.sock\n")[0]
    here = front(config=config)
    status, _, body = here.predict({"x": [1, 2]}, headers={"X-Request-Timeout-Ms": "500"})
    assert (status, body["error"]["code"]) == (503, "not_ready")
    assert "nowhere" not in json.dumps(body)
    assert here.ask("GET", "/readyz")[0] == 503


def test_a_redis_elsewhere_without_tls_is_refused_at_the_start(key_files):
    config = QueueConfig.parse(b"modelPath: /none\nredisUrl: redis.example:6379\n")[0]
    with pytest.raises(RedisPlaintext):
        FrontOptions(keys=key_files(), config=config, settings=Settings()).models()


def test_a_list_of_models_leads_to_their_queues(front, config, worker, redis_job, tmp_path):
    path = tmp_path / "servables.yaml"
    path.write_text(
        f"modelMetaDataList:\n- !<ClusterServingMetaData>\n  modelName: doubling\n  modelVersion: '1.0'\n"
        f"  redisInputQueue: {redis_job.job.name}\n"
    )
    here = front(config=config(), servables=path)
    with worker():
        _, _, body = here.predict({"x": [1, 2]}, path="/models/doubling/versions/1.0/predict")
    assert body["predictions"][0]["data"] == [2, 4]
    assert here.ask("GET", "/models/doubling/versions/1.0")[2]["redisInputQueue"] == redis_job.job.name


@pytest.fixture
def sealing(redis_job, tmp_path):
    """Return an owner: `key(n)` writes the n-th queue key's public file and returns the worker's half."""
    owner = Ed25519PrivateKey.generate()
    public, pem = tmp_path / "queue.json", tmp_path / "owner.pem"
    pem.write_bytes(owner.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def key(number):
        made = QueueKey.from_secret(Secret(bytes([number]) * 32))
        file = PublicKeyFile(
            job=redis_job.job.name, model="doubling", version=1, key=made.public,
            not_after=datetime.now(UTC) + timedelta(days=1),
        )  # fmt: skip
        new = tmp_path / f"queue-{number}.json"
        new.write_bytes(file.signed(owner))
        new.replace(public)
        return made

    return key, {"queueKeyFile": public, "ownerKeyFile": pem, "recordEncrypted": True}


def test_an_01_a_front_seals_what_it_puts_into_the_queue_and_follows_a_new_key(
    front, config, worker, sealing, redis_job
):
    key, keys = sealing
    opener = RecordOpener(redis_job.job.name, Doubling().identity)
    opener.hold([key(1)])
    here = front(config=config(**keys))
    with worker(keys=opener, require_sealed=True):
        assert here.predict({"x": [1, 2]})[2]["predictions"][0]["data"] == [2, 4]
        clear = front(config=config())
        status, _, body = clear.predict({"x": [1, 2]})
        assert (status, body["error"]["code"]) == (403, "unauthorized")
        opener.hold([key(2)])  # the first key is gone from the worker
        while (answer := here.predict({"x": [1, 2]}, headers={"X-Request-Timeout-Ms": "500"}))[0] != 200:
            assert answer[0] in {503, 504}  # until the file is looked at again; 503: Redis was not reached in that time
        assert answer[2]["predictions"][0]["data"] == [2, 4]


def test_a_front_that_is_to_seal_and_has_no_key_does_not_start(key_files, config):
    for switch in ("recordEncrypted", "requireSealed"):
        with pytest.raises(UnsealedFront) as caught:
            FrontOptions(keys=key_files(), config=config(**{switch: True})).models()
        assert caught.value.code == "SR-QUEUE-FRONTEND-UNSEALED"
