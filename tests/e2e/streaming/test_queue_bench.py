"""The queue's bench and its kill test, as whole processes over a real Redis with TLS."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None or find_spec("onnx") is None, reason="needs redis-server and onnx"
)
SCENE = """
import shutil, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from scene import Scene
folder = Path(sys.argv[2])
with Scene.make(folder / "scene") as scene:
    scene.await_ready(scene.start_worker(1))
    keys, home = folder / "keys", scene.home.folder
    keys.mkdir()
    shutil.copy(scene.home.ca_file, keys / "ca.crt")
    for kind in ("crt", "key", "password"):
        shutil.copy(home / "users" / f"cs-client.{kind}", keys / f"client.{kind}")
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    """A queue with one worker; the folder has `keys` and `scene/worker-1.yaml`."""
    folder = tmp_path_factory.mktemp("bench")
    process = subprocess.Popen(
        [sys.executable, "-c", SCENE, str(REPOSITORY / "tools" / "queue"), str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "ready\n"
        yield folder
    finally:
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()


def bench(folder, *words):
    command = [sys.executable, "-m", "strongroom", "queue", "bench", "-c", str(folder / "scene" / "worker-1.yaml")]
    return subprocess.run([*command, "-k", str(folder / "keys"), *words], capture_output=True, text=True, check=False,
                          timeout=120)  # fmt: skip


def test_bench_prints_the_lines_of_the_original_and_writes_numbers_and_a_plot(queue):
    files = queue / "numbers.json", queue / "plot.html"
    done = bench(queue, "-n", "400", "-p", "2", "--floats", "4", "--json", str(files[0]), "--html", str(files[1]))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line in ("Entering initial dequeue", "Initial dequeue completed", "Entering enqueue", "Entering enqueue 1",
                 "400 images enqueued"):  # fmt: skip
        assert line in lines
    assert lines[-2].startswith("Served 400 images in ")
    assert lines[-2].endswith("images/sec, excluded 0 invalid results")
    assert lines[-1].startswith("Latency p50 ")
    assert json.loads(files[0].read_text())["served"] == 400
    assert files[1].read_text().count("<svg") == 2


def test_bench_counts_records_without_a_prediction_by_their_reason(queue):
    done = bench(queue, "-n", "20", "-p", "1", "--floats", "3", "--json")
    assert done.returncode == 4
    assert json.loads(done.stdout)["errors"] == {"SR-QUEUE-SHAPE": 20}


def test_bench_wants_images_that_can_be_shared_out(queue):
    done = bench(queue, "-n", "20", "-p", "3")
    assert done.returncode == 2
    assert "SR-QUEUE-BENCH-UNEVEN" in done.stderr


def test_an_02_every_record_has_one_result_whatever_is_killed():
    words = ["--records", "5000", "--seed", "11", "--faults", "6"]
    program = REPOSITORY / "tools" / "queue" / "queue_chaos.py"
    done = subprocess.run([sys.executable, program, *words], capture_output=True, text=True, check=False, timeout=300)
    report = json.loads(done.stdout)
    assert report["broken"] == [], done.stderr
    assert done.returncode == 0
    assert report["right"] + sum(report["errors"].values()) == 5000
    assert report["faults"]
