"""A script with the import line of the original's guides runs unchanged, with the shims on its path."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHIMS = Path(__file__).resolve().parents[3] / "shims"
SCRIPT = """
import numpy as np
from {package}.serving.client import InputQueue, OutputQueue

enqueue, output = InputQueue(), OutputQueue()
enqueue.enqueue("my-1", t=np.array([1.0, 2.0, 3.0, 4.0]))
print(output.query("my-1"), output.query("nobody"), enqueue.predict(np.ones(4), timeout=0.05))
"""


@pytest.mark.parametrize("package", ["zoo", "bigdl"])
def test_the_guides_import_line_works_with_the_shims(redis_job, tmp_path, package):
    (tmp_path / "config.yaml").write_text(redis_job.config_yaml("client"))
    with redis_job.queue("worker") as group:
        group.make_group()
    environment = {**os.environ, "PYTHONPATH": str(SHIMS), "STRONGROOM_QUEUE_CONFIG": str(tmp_path / "config.yaml")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT.format(package=package)], env=environment, cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[] [] []\n"
    assert redis_job.admin("XLEN", redis_job.job.stream) == 2
