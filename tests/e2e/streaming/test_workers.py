"""Workers as processes: `queue serve` with a real model behind a real Redis, probed, killed, drained."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from strongroom.clusterserving.record import request_fields
from strongroom.clusterserving.result_reading import read_result
from strongroom.ports import free_port
from strongroom.streaming.link.records import Admission

STRONGROOM = [sys.executable, "-m", "strongroom"]
LIMIT_S = 120
SEED = int(os.environ.get("STRONGROOM_KILL_SEED", "7"))
ROW = np.array([1, 2, 3, 4], np.float32)


def doubling():
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.array(2, np.float32), "two")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9).SerializeToString()


def until(condition, what):
    """Wait for another process, which tells of nothing by itself."""
    end = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.02)
    return found


class Serving:
    """`queue serve` on a job, with its health port."""

    def __init__(self, redis_job, folder, *words, **config):
        (folder / "model").mkdir(exist_ok=True)
        (folder / "model" / "doubling.onnx").write_bytes(doubling())
        self.job, self.folder, self.port = redis_job, folder, free_port()
        self.config = folder / "config.yaml"
        keys = {"modelPath": folder / "model", "healthPort": self.port, "metricsPort": self.port, **config}
        self.config.write_text(redis_job.config_yaml("worker", **keys))
        self.log = folder / "worker.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*STRONGROOM, "queue", "serve", "-c", str(self.config), "--json", *words],
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()
        except OSError:
            return 0, ""

    def ready(self):
        until(lambda: self.process.poll() is not None or self.get("/readyz")[0] == 200, "a worker that is ready")
        assert self.process.poll() is None, self.log.read_text()

    def children(self):
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(each) for each in path.read_text().split()]

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(LIMIT_S)
        self.process.stdout.close()
        return status


@contextlib.contextmanager
def serving(redis_job, folder, *words, **config):
    server = Serving(redis_job, folder, *words, **config)
    try:
        server.ready()
        yield server
    finally:
        if server.process.poll() is None:
            server.end()


def status(server, *words, role="probe"):
    path = server.folder / f"{role}.yaml"
    path.write_text(server.job.config_yaml(role))
    words = [*STRONGROOM, "queue", "status", "-c", str(path), "--json", *words]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    return done.returncode, json.loads(done.stdout)


def test_a_worker_from_its_start_to_its_end(redis_job, tmp_path):
    server = Serving(redis_job, tmp_path)
    try:
        settings = json.loads(server.process.stdout.readline())
        assert {"batch_size": 32, "parallelism": 1}.items() <= settings.items()
        server.ready()  # d12: only after a warm-up prediction, see the unit tests
        with redis_job.queue("client") as queue:
            queue.admit(request_fields("r", {"x": ROW}))
            found = until(lambda: queue.result("r"), "a result")
            assert np.array_equal(read_result("r", found).outputs["y"], 2 * ROW)
        assert server.get("/healthz") == (200, "ok\n")
        assert "strongroom_queue_worker_records_served_total 1\n" in server.get("/metrics")[1]
        assert server.get("/model-secure")[0] == 404  # an_06: nothing here takes a model or a secret
        code, seen = status(server)
        assert (code, seen["waiting"], seen["workers"][0]["ready"]) == (0, 0, True)
        command = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
        environ = Path(f"/proc/{server.process.pid}/environ").read_bytes()
        password = (redis_job.folder / redis_job.user("worker")).read_bytes().strip()
        assert password not in command + environ + server.log.read_bytes()
    finally:
        assert server.end() == 0
    assert "1 records backend time " in server.log.read_text()
    assert redis_job.admin("XINFO", "CONSUMERS", redis_job.job.stream, "serving") == []
    code, seen = status(server)
    assert (code, seen["workers"]) == (4, [])


def test_d15_status_tells_of_each_component(redis_job, tmp_path):
    server = Serving.__new__(Serving)
    server.folder, server.job = tmp_path, redis_job
    code, seen = status(server)
    assert (code, seen["components"]["redis"]) == (4, "ok")
    assert "no worker" in seen["components"]["queue"]
    assert status(server, "--component", "redis")[0] == 0
    assert status(server, "--component", "workers")[0] == 4


def test_a_configuration_that_cannot_work_ends_all_workers_at_once(redis_job, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(redis_job.config_yaml("worker", modelPath=tmp_path / "nothing-here"))
    words = [*STRONGROOM, "queue", "serve", "-c", str(path), "--workers", "2"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 2
    assert "SR-QUEUE-" in done.stderr


@pytest.mark.parametrize("serde", ["raw"])
def test_d03_an_02_every_record_has_exactly_one_result_though_workers_are_killed(redis_job, tmp_path, serde):
    """Kill workers as the seed says (STRONGROOM_KILL_SEED), while 2,000 records pass."""
    chance, waves, wave = random.Random(SEED), 10, 200
    reply = redis_job.job.reply("killer")
    with (
        serving(redis_job, tmp_path, "--workers", "3", claimIdleMs=300, maxDeliveries=20) as server,
        redis_job.queue("client") as queue,
    ):
        ids = {}
        for at in range(waves):
            uris = [f"r{at}-{number}" for number in range(wave)]
            made = [Admission(request_fields(uri, {"x": at * ROW}, serde=serde, reply=reply)) for uri in uris]
            half = chance.randrange(1, wave)
            ids.update(zip(uris[:half], queue.admit_many(made[:half]), strict=True))
            if at % 2:
                victims = until(server.children, "a worker to kill")
                with contextlib.suppress(ProcessLookupError):  # one that was killed before, and is buried just now
                    os.kill(chance.choice(victims), signal.SIGKILL)
            ids.update(zip(uris[half:], queue.admit_many(made[half:]), strict=True))
        answered = []
        end = time.monotonic() + LIMIT_S
        while len(answered) < len(ids):
            answered += queue.replies("killer", count=1000, wait_ms=500)
            assert time.monotonic() < end, f"{len(ids) - len(answered)} records have no result"
        assert queue.replies("killer", count=1000) == []
        assert sorted(answered) == sorted(ids)  # each once: what answers a record tells of it in the same step
        for uri, found in zip(ids, queue.results(list(ids)), strict=True):
            result = read_result(uri, found)
            assert (result.error, result.entry_id) == (None, ids[uri])
            assert np.array_equal(result.outputs["y"], 2 * int(uri[1:].partition("-")[0]) * ROW)
        assert (queue.backlog().records, redis_job.admin("XPENDING", redis_job.job.stream, "serving")[0]) == (0, 0)
        until(lambda: server.get("/readyz")[0] == 200, "workers that took the place of the killed")
        assert "another takes its place" in server.log.read_text()
