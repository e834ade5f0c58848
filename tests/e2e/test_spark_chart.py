"""From an empty folder to a Spark job that may be installed, with the commands a person types; no secret leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(sys.executable).parent
JOB = """
[deploy]
namespace = "spark"
[deploy.spark]
name = "count"
keys = ["people"]
program = "jobs/count.py"
arguments = ["/data/people"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A workspace with keys, a description of a job, and what was rendered of it."""
    place = tmp_path_factory.mktemp("owner")
    run(place, "init")
    with (place / "strongroom-workspace/strongroom.toml").open("a") as file:
        file.write(JOB)
    run(place, "key", "create", "secret/spark-count")
    run(place, "data", "key", "people")
    run(place, "spark", "chart", "--out", "job", "--pvc", "people")
    return place


def run(place, *words, status=0):
    done = subprocess.run(
        [sys.executable, "-m", "strongroom", *words], capture_output=True, text=True, check=False, cwd=place
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def helm(place, *words):
    environ = {**os.environ, "HOME": str(place)}
    done = subprocess.run([PROGRAMS / "helm", *words], capture_output=True, text=True, check=False, cwd=place,
                          env=environ)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_rendered_passes_the_lint_of_the_command_line(folder):
    rendered = helm(folder, "template", "count", "job/chart", "--values", "job/chart/values-small.yaml",
                    "--values", "job/values.yaml", "--namespace", "spark")  # fmt: skip
    (folder / "rendered.yaml").write_text(rendered)
    plain = b"".join(path.read_bytes() for path in sorted((folder / "job/manifests").iterdir()))
    (folder / "plain.yaml").write_bytes(plain)
    for place in ("rendered.yaml", "plain.yaml"):
        said = json.loads(run(folder, "deploy", "lint", place, "--json", "--accept", "K08"))  # tags, not digests
        assert not [each for each in said["findings"] if each["level"] == "error"]


def test_the_same_workspace_renders_the_same_bytes(folder):
    before = {path: path.read_bytes() for path in (folder / "job").rglob("*") if path.is_file()}
    said = run(folder, "spark", "chart", "--out", "job", "--pvc", "people")
    assert "--trust secret/spark-count --trust secret/data-people" in said
    assert before == {path: path.read_bytes() for path in (folder / "job").rglob("*") if path.is_file()}
    said = json.loads(run(folder, "spark", "chart", "--out", "other", "--json"))
    assert {"chart/templates/spark-job.yaml", "manifests/02-driver.yaml", "values.yaml"} <= set(said["files"])


def test_kd_24_no_secret_is_in_anything_that_goes_to_the_cluster(folder):
    leaving = b"\n".join(path.read_bytes() for path in (folder / "job").rglob("*") if path.is_file())
    for name in ("secret/spark-count", "secret/data-people"):
        run(folder, "key", "export", name, "--out", "exported")
        secret = (folder / "exported").read_bytes()
        (folder / "exported").unlink()
        assert len(secret) >= 32
        assert secret not in leaving
        assert secret.hex().encode() not in leaving


def test_a_job_that_is_not_described_is_said_to_be(folder, tmp_path):
    run(tmp_path, "init")
    with (tmp_path / "strongroom-workspace/strongroom.toml").open("a") as file:
        file.write('[deploy]\n[[deploy.model]]\nname = "m"\n')
    assert "SR-SPARK-CHART-JOB" in run(tmp_path, "spark", "chart", "--out", "job", status=2)
    assert "--pvc" in run(folder, "spark", "chart", "--out", "job", "--pvc", "../x", status=1)
