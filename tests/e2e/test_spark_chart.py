"""From an empty folder to a Spark job that may be installed, with the commands a person types; no secret leaves."""

import json

import pytest

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
def folder(tmp_path_factory, typed):
    """A workspace with keys, a description of a job, and what was rendered of it."""
    place = tmp_path_factory.mktemp("owner")
    typed(place, "init")
    with (place / "strongroom-workspace/strongroom.toml").open("a") as file:
        file.write(JOB)
    typed(place, "key", "create", "secret/spark-count")
    typed(place, "data", "key", "people")
    typed(place, "spark", "chart", "--out", "job", "--pvc", "people")
    return place


def test_what_is_rendered_passes_the_lint_of_the_command_line(folder, helm, typed):
    chart = folder / "job" / "chart"
    rendered = helm("template", "count", chart, "--values", chart / "values-small.yaml",
                    "--values", folder / "job" / "values.yaml", "--namespace", "spark")  # fmt: skip
    (folder / "rendered.yaml").write_text(rendered.stdout)
    plain = b"".join(path.read_bytes() for path in sorted((folder / "job/manifests").iterdir()))
    (folder / "plain.yaml").write_bytes(plain)
    for place in ("rendered.yaml", "plain.yaml"):
        found = typed(folder, "deploy", "lint", place, "--json", "--accept", "K08")  # tags, not digests
        said = json.loads(found.stdout)
        assert not [each for each in said["findings"] if each["level"] == "error"]


def test_the_same_workspace_renders_the_same_bytes(folder, typed):
    before = {path: path.read_bytes() for path in (folder / "job").rglob("*") if path.is_file()}
    said = typed(folder, "spark", "chart", "--out", "job", "--pvc", "people").stdout
    assert "--trust secret/spark-count --trust secret/data-people" in said
    assert before == {path: path.read_bytes() for path in (folder / "job").rglob("*") if path.is_file()}
    said = json.loads(typed(folder, "spark", "chart", "--out", "other", "--json").stdout)
    assert {"chart/templates/spark-job.yaml", "manifests/02-driver.yaml", "values.yaml"} <= set(said["files"])


def test_kd_24_no_secret_is_in_anything_that_goes_to_the_cluster(folder, typed):
    leaving = b"\n".join(path.read_bytes() for path in (folder / "job").rglob("*") if path.is_file())
    for name in ("secret/spark-count", "secret/data-people"):
        typed(folder, "key", "export", name, "--out", "exported")
        secret = (folder / "exported").read_bytes()
        (folder / "exported").unlink()
        assert len(secret) >= 32
        assert secret not in leaving
        assert secret.hex().encode() not in leaving


def test_a_job_that_is_not_described_is_said_to_be(folder, typed, tmp_path):
    typed(tmp_path, "init")
    with (tmp_path / "strongroom-workspace/strongroom.toml").open("a") as file:
        file.write('[deploy]\n[[deploy.model]]\nname = "m"\n')
    assert "SR-SPARK-CHART-JOB" in typed(tmp_path, "spark", "chart", "--out", "job", status=2).stderr
    assert "--pvc" in typed(folder, "spark", "chart", "--out", "job", "--pvc", "../x", status=1).stderr
