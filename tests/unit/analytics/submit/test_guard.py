"""What stands in Spark's own constructors: a JVM that cannot have it does not run."""

import os
import subprocess

import pytest

from strongroom.analytics.parquet.build import build, spark_jars
from strongroom.analytics.submit.preparing import JAVA_SOURCES

ANOTHER_SPARK = """
package org.apache.spark;

public final class SparkContext {
    public static void main(String[] words) {
        System.out.println("unguarded");
    }
}
"""


@pytest.fixture(scope="module")
def another_spark(tmp_path_factory):
    """Return a jar with a SparkContext that is made of something else than a SparkConf."""
    pytest.importorskip("pyspark")
    place = tmp_path_factory.mktemp("spark")
    (place / "java").mkdir()
    (place / "java" / "SparkContext.java").write_text(ANOTHER_SPARK)
    return build(place / "java", {**os.environ, "XDG_CACHE_HOME": str(place)})


def java(another_spark, *options):
    words = ["java", *options, "-cp", f"{another_spark}:{spark_jars()}/*", "org.apache.spark.SparkContext"]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def test_a_spark_that_cannot_be_guarded_does_not_run(another_spark, tmp_path):
    (tmp_path / "locked.properties").write_text("")
    assert java(another_spark).stdout == "unguarded\n"
    done = java(another_spark, f"-javaagent:{build(JAVA_SOURCES)}={tmp_path}")
    assert (done.returncode, done.stdout) == (3, "")
    assert "SR-SPARK-DRIVER: org/apache/spark/SparkContext.<init> cannot be guarded" in done.stderr


def test_a_jvm_whose_session_is_not_there_does_not_run(another_spark, tmp_path):
    done = java(another_spark, f"-javaagent:{build(JAVA_SOURCES)}={tmp_path}")
    assert (done.returncode, done.stdout) == (3, "")
    assert "SR-SPARK-DRIVER: the session cannot be read" in done.stderr
