"""Spark's classes, kept for the JVM: a driver has them in its memory from a file."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyspark", reason="needs pip install 'strongroom[analytics]'")

from strongroom.analytics.submit import class_archive
from strongroom.analytics.submit.preparing import own_jar

STRONGROOM = [sys.executable, "-m", "strongroom"]
PROGRAM = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print(spark.range(9).count(), open(f"/proc/{spark.sparkContext._gateway.proc.pid}/maps").read())
"""


def test_the_session_of_these_tests_takes_the_classes_that_were_kept(trusted_session):
    archive = class_archive.found(os.environ, own_jar())
    if archive is None:
        pytest.skip("strongroom spark warm-up has not been run here; make test does it")
    java = trusted_session.spark.sparkContext._gateway.proc.pid
    assert str(archive) in Path(f"/proc/{java}/maps").read_text()


@pytest.mark.full
def test_classes_are_kept_once_and_the_next_job_has_them(tmp_path, lean_java):
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    words = [*STRONGROOM, "spark", "warm-up", "--json"]
    first, second, third = (
        json.loads(subprocess.check_output([*words, *more], env=environ)) for more in ((), (), ("--again",))
    )
    assert (first["made"], second["made"], third["made"]) == (True, False, True)
    assert first["file"] == second["file"] == third["file"]
    assert not list(Path(first["file"]).parent.glob(".warm-up*"))
    (tmp_path / "app.py").write_text(PROGRAM)
    job = [*STRONGROOM, "spark", "submit", "--master", "local[1]", "--no-ui", "--driver-java-options", lean_java,
           str(tmp_path / "app.py")]  # fmt: skip
    done = subprocess.run(job, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("9 ")
    assert first["file"] in done.stdout
    assert "cds" not in done.stderr


@pytest.mark.full
def test_a_jvm_that_keeps_nothing_is_told_and_leaves_nothing(tmp_path):
    java = tmp_path / "jvm" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        '#!/bin/bash\nfor each; do [[ $each == -XX:ArchiveClassesAtExit=* ]] || words+=("$each"); done\n'
        f'exec {shutil.which("java")} "${{words[@]}}"\n'
    )
    java.chmod(0o755)
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "JAVA_HOME": str(tmp_path / "jvm")}
    done = subprocess.run([*STRONGROOM, "spark", "warm-up"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "SR-SPARK-WARM-UP" in done.stderr, done.stderr
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix == ".jsa" or "warm-up" in path.name]


@pytest.mark.full
def test_a_job_that_fails_says_why_and_leaves_nothing(tmp_path):
    program = (
        "import sys; from strongroom.analytics.submit import warming; from strongroom.cli import main\n"
        "warming._queries = lambda spark, _: spark.sql('select raise_error(\"for this reason\")').collect()\n"
        "sys.exit(main(['spark', 'warm-up']))\n"
    )
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "for this reason" in done.stderr
    assert "SR-SPARK-WARM-UP" in done.stderr
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix == ".jsa" or "warm-up" in path.name]
