"""The original's client package, unmodified, in its own environment, against `strongroom queue serve --compat`."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from strongroom.clusterserving.names import Job
from strongroom.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[3]
ORIGINAL = REPOSITORY / ".venv-original" / "bin" / "python"
STORY = REPOSITORY / "tests" / "original" / "story.py"
STUBS = REPOSITORY / "tests" / "original" / "stubs"
LIMIT_S = 120

pytestmark = pytest.mark.skipif(
    not ORIGINAL.exists(), reason="the original's client is not here; tools/setup.sh all installs it"
)


def saved(nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(*each) for each in constants])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9).SerializeToString()


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def doubling():
    return saved(
        [helper.make_node("Mul", ["t", "two"], ["y"])],
        [value("t", TensorProto.FLOAT, ["n", 4])], [value("y", TensorProto.FLOAT, ["n", 4])],
        [(np.array(2, np.float32), "two")],
    )  # fmt: skip


def counting():
    """How many of three words are an `a`."""
    return saved(
        [
            helper.make_node("Equal", ["words", "a"], ["same"]),
            helper.make_node("Cast", ["same"], ["ones"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["ones", "axis"], ["count"], keepdims=1),
        ],
        [value("words", TensorProto.STRING, ["n", 3])], [value("count", TensorProto.FLOAT, ["n", 1])],
        [(np.array(["a"], dtype=object), "a"), (np.array([1], np.int64), "axis")],
    )  # fmt: skip


def averaging(side):
    """The mean of each colour, blue first."""
    return saved(
        [helper.make_node("ReduceMean", ["t", "axes"], ["means"], keepdims=0)],
        [value("t", TensorProto.FLOAT, ["n", 3, side, side])], [value("means", TensorProto.FLOAT, ["n", 3])],
        [(np.array([2, 3], np.int64), "axes")],
    )  # fmt: skip


@contextlib.contextmanager
def serving(redis_job, folder, model, **config):
    """Run `queue serve --compat` for a model; lend the port once the worker lives."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "m.onnx").write_bytes(model)
    user, port = redis_job.place("compat"), free_port()
    text = redis_job.config_yaml(
        "worker", modelPath=folder / "model", consumerName="w1", compatUser=user.user,
        compatPasswordFile=user.password_file, compatCertFile=user.cert_file, compatKeyFile=user.key_file, **config,
    )  # fmt: skip
    (folder / "config.yaml").write_text(text)
    command = [
        sys.executable,
        "-m",
        "strongroom",
        "queue",
        "serve",
        "-c",
        folder / "config.yaml",
        "--compat",
        str(port),
    ]
    with (folder / "log").open("wb") as log:
        worker = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        end = time.monotonic() + LIMIT_S
        while not redis_job.admin("EXISTS", redis_job.job.worker("w1")):
            assert worker.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.05)
        yield port
    finally:
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(LIMIT_S)
    assert status == 0, (folder / "log").read_text()
    assert "COMPAT PORT ON" in (folder / "log").read_text()


def original(*words, cwd, stubs=False):
    """Run a program in the original's environment; return what it printed."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), **({"PYTHONPATH": str(STUBS)} if stubs else {})}
    done = subprocess.run(
        [ORIGINAL, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=LIMIT_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def told(redis_job, folder, story, port, *more):
    printed = original(STORY, story, "127.0.0.1", port, redis_job.job.name, *more, cwd=folder)
    return json.loads(next(line for line in printed.splitlines() if line.startswith("SAID "))[5:])


def test_tensors_sparse_tensors_predict_dequeue_and_the_old_words(redis_job, tmp_path):
    with serving(redis_job, tmp_path / "w", doubling()) as port:
        said = told(redis_job, tmp_path, "vectors", port)
    doubled = {"shape": [4], "data": [2, 4, 6, 8]}
    assert (said["query"], said["again"]) == (doubled, doubled)
    assert (said["absent"], said["gone"], said["failed"]) == ("[]", "[]", "NaN")
    assert said["sparse"]["data"] == [0, 10, 0, 14]
    assert {uri: found["data"] for uri, found in said["dequeued"].items()} == {
        f"many-{at}": [2 * at, 4 * at, 6 * at, 8 * at] for at in range(20)
    }
    newer_numpy = "truth value"
    assert all(each == doubled or newer_numpy in each for each in said["predict"])
    if sys.version_info < (3, 12):
        assert said["predict"] == [doubled] * 3
    assert said["late"] == "NaN"
    assert redis_job.admin("XLEN", redis_job.job.stream) == 0
    left = [key for key in redis_job.admin("KEYS", "*") if b"cluster-serving_" in key]
    assert left == []


def test_texts(redis_job, tmp_path):
    with serving(redis_job, tmp_path / "w", counting()) as port:
        assert told(redis_job, tmp_path, "strings", port)["texts"]["data"] == [2]


def test_images_by_path_and_in_base64(redis_job, tmp_path):
    cv2 = pytest.importorskip("cv2")
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :] = (200, 100, 50)
    assert cv2.imwrite(str(tmp_path / "a.jpg"), pixels)
    with serving(redis_job, tmp_path / "w", averaging(8)) as port:
        said = told(redis_job, tmp_path, "images", port, tmp_path / "a.jpg")
    for way in ("text", "path", "b64"):
        np.testing.assert_allclose(said[way]["data"], [200, 100, 50], atol=3)
    assert said["broken"] == "NaN"


def test_its_own_throughput_script_runs_to_its_last_line(redis_job, tmp_path):
    cv2 = pytest.importorskip("cv2")
    job = dataclasses.replace(redis_job, job=Job("serving_stream"))  # the script knows no other
    script = next(
        (ORIGINAL.parents[1] / "lib").glob("python3*/site-packages/bigdl/share/serving/perf-benchmark/e2e*.py")
    )
    noise = np.random.default_rng(7).integers(0, 255, (300, 260, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "a.jpg"), noise)
    with serving(job, tmp_path / "w", averaging(224)) as port:
        (tmp_path / "config.yaml").write_text(f"redisUrl: 127.0.0.1:{port}\n")
        words = (script, "-c", tmp_path / "config.yaml", "-i", tmp_path / "a.jpg", "-n", 60, "-p", 3)
        printed = original(*words, cwd=tmp_path, stubs=True)
    assert "60 images enqueued" in printed
    last = re.search(
        r"^Served (\S+) images in (\S+) sec, e2e throughput is (\S+) images/sec, excluded (\d+) inv", printed, re.M
    )
    assert last is not None, printed[-2000:]
    assert (float(last[1]), int(last[4])) == (60, 0)


def test_the_original_imports_nothing_of_ours():
    assert importlib.util.find_spec("bigdl") is None
    assert "strongroom" not in STORY.read_text().replace("Strongroom", "")
    assert os.access(ORIGINAL, os.X_OK)
