"""Flink's environment has older protobuf, pyarrow and numpy: what the worker imports runs there too, with its tests."""

import subprocess
from pathlib import Path

import pytest

from strongroom.streaming.flink.home import FlinkHome, FlinkMissing, JavaMissing

REPOSITORY = Path(__file__).resolve().parents[3]
MODULES = (
    "strongroom.clusterserving.record",
    "strongroom.clusterserving.sealed",
    "strongroom.streaming.link.queue",
    "strongroom.streaming.model.opening",
    "strongroom.streaming.images.preparation",
    "strongroom.streaming.worker.assembly",
    "strongroom.streaming.flink.jobs.serving",
    "strongroom.streaming.flink.jobs.wordcount",
)


@pytest.fixture(scope="module")
def python():
    try:
        return str(FlinkHome.find().python)
    except (FlinkMissing, JavaMissing) as problem:
        pytest.skip(problem.sentence)


def run(*words):
    return subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=200)


def test_everything_that_the_worker_imports_is_there(python):
    done = run(python, "-c", "".join(f"import {name}\n" for name in MODULES))
    assert done.returncode == 0, done.stderr


def test_its_versions_are_the_older_ones(python):
    program = (
        "import google.protobuf, numpy, pyarrow, redis, sys\n"
        "print(*('.'.join(each.__version__.split('.')[:2]) for each in (google.protobuf, numpy, pyarrow, redis)))"
    )
    assert run(python, "-c", program).stdout.split() == ["5.29", "2.1", "16.1", "5.3"]


def test_the_queue_s_formats_pass_their_tests_there(python):
    if run(python, "-c", "import pytest, hypothesis").returncode != 0:
        pytest.skip("Flink's environment was installed without what tests need (uv's group dev)")
    done = run(python, "-m", "pytest", "-q", "tests/unit/clusterserving")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
