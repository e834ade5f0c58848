"""What `make kube OPTIONS=--only-spark` does to a job, and how it looks for secrets, without a cluster."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools"))

from kube import spark, spark_looking  # noqa: E402  # found by the line above
from strongroom.deploy.clouds import profile  # noqa: E402
from strongroom.deploy.description import Description, SparkJob  # noqa: E402
from strongroom.deploy.spark.chart import chart_files, values  # noqa: E402
from strongroom.deploy.spark.parts import app_files  # noqa: E402
from strongroom.deploy.spark.words import cluster_file  # noqa: E402
from strongroom.sparkjobs import cluster_file as allowed  # noqa: E402

JOB = Description(spark=SparkJob(name="people", keys=("people",), executor_memory="768m"))


def script(lines):
    """Return the program that a line of a Containerfile runs."""
    return json.loads(lines.removeprefix("RUN "))[3]


def test_the_intruder_with_another_word_changes_one_word_of_the_executors(tmp_path):
    right = app_files(JOB)["spark-executor.manifest"].decode()
    place = tmp_path / "manifest"
    place.write_text(right)
    program = script(spark.ANOTHER_WORD).replace("/app/spark-executor.manifest", str(place))
    subprocess.run([sys.executable, "-I", "-c", program], check=True)
    before, after = (re.split(r"[ ,\n]+", text) for text in (right, place.read_text()))
    assert [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]] == [
        ('"--max-heap-mib=768"', '"--max-heap-mib=769"')
    ]


def test_the_unattested_executor_starts_what_sparks_own_image_starts():
    written = script(spark.UNATTESTED)
    compile(written, "written", "exec")
    program = re.search(r"\.write\((.*?)\);", written, re.DOTALL)[1]
    assert "executor_pod import command" in program
    assert "agent" not in program


def test_an_operator_changes_the_image_of_the_executors_alone():
    image = "localhost:5000/other:1"
    settings = cluster_file(values(JOB, profile("generic"))["executor"], name="people", namespace="jobs", image="x:1")
    changed = spark.with_image(f"kind: ConfigMap\n    {settings}", image)
    found = allowed.read(changed.removeprefix("kind: ConfigMap\n    ").encode())
    assert found["spark.kubernetes.container.image"] == image
    assert {**found, spark.IMAGE: "x:1"} == allowed.read(settings.encode())
    with pytest.raises(ValueError, match="0 lines"):
        spark.with_image("", image)


def test_every_setting_of_the_chart_is_one_that_the_driver_takes():
    text = (chart_files(JOB)["templates/_helpers.tpl"] + chart_files(JOB)["templates/_rendered.tpl"]).decode()
    names = set(re.findall(r"^ *(spark\.[\w.]+)[ =]", text, re.MULTILINE))
    assert spark.IMAGE in names
    for name in names:
        assert name in allowed._FORMS, name


def test_a_secret_in_a_process_is_found_and_not_shown():
    secret = os.urandom(16).hex()
    words = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"X": secret}) as process:
        process.stdout.readline()
        found = spark_looking.Looking(None, "people").processes_with({"the secret": secret.encode()})
        process.stdin.close()
    assert len(found) == 1
    assert found[0].startswith("the secret in ")
    assert secret not in found[0]
