"""Sealed Parquet that Spark's own reader opens block by block in the JVMs, as on a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.analytics.parquet.build import kms_jar
from strongroom.cli import main

pytest.importorskip("pyspark", reason="needs pip install 'strongroom[analytics]'")

from pyspark.errors import PySparkException

COLUMNS = [
    "id", "cast(id % 3 = 0 as boolean) b", "cast(id % 100 as tinyint) t", "cast(id as float) f", "id / 7 d",
    "if(id = 4, null, concat('person ', id)) s", "cast(cast(id as string) as binary) y",
    "date_add('1500-01-01', int(id * 9)) day", "timestamp_seconds(id * 1e5 + 0.000001) at",
    "cast(id / 8 as decimal(12, 3)) small", "cast(id as decimal(38, 2)) big",
]  # fmt: skip
ANSWER = "select count(*), sum(cast(hash(*) as bigint)), sum(id), max(s), min(at) from {table}"
CLUSTER = """
import os, sys
from pyspark.sql import SparkSession
from strongroom.analytics import StrongroomContext

spark = SparkSession.builder.getOrCreate()
context = StrongroomContext(spark)
found = context.read("sealed", "people").parquet(sys.argv[1])
found.createOrReplaceTempView("found")
print("scan", found.inputFiles()[0].split("/")[0], spark.sql(sys.argv[2].format(table="found")).collect())
path = sorted(each for each in os.listdir(sys.argv[1]) if each.startswith("part-"))[-1]
with open(os.path.join(sys.argv[1], path), "r+b") as file:
    file.seek(3 * 4096)
    byte = file.read(1)[0]
    file.seek(3 * 4096)
    file.write(bytes([byte ^ 1]))
try:
    print("rows", found.selectExpr("sum(hash(*))").collect())
except Exception as problem:
    told = f"{problem} {getattr(problem, 'java_exception', '')}"
    print("refused", "SR-SEALED-DATA: " + path in told)
"""


@pytest.fixture
def context(trusted_session):
    """Lend a context of the shared session that opens nothing in memory."""
    from strongroom.analytics import StrongroomContext

    with StrongroomContext(trusted_session.spark, in_memory=False) as found:
        yield found


@pytest.fixture
def rows(context):
    """Return rows with a column of each plain type."""
    return context.spark.range(0, 20_000, 1, 2).selectExpr(*COLUMNS)


@pytest.fixture
def place(context, rows, tmp_path):
    """Return where those rows are sealed."""
    context.write(rows, "sealed", "people").parquet(str(tmp_path / "da ta"))
    return tmp_path / "da ta"


def answer(df):
    """Return what all rows and columns come to."""
    return df.sparkSession.sql(ANSWER.format(table="{df}"), df=df).collect()


def plan(df):
    """Return how Spark reads a DataFrame."""
    return df._jdf.queryExecution().executedPlan().toString()


def refusal(df):
    """Return all that Spark says about a failure to read."""
    from py4j.protocol import Py4JJavaError

    with pytest.raises((PySparkException, Py4JJavaError)) as caught:
        answer(df)
    return f"{caught.value} {getattr(caught.value, 'java_exception', '')}"


def flip(path, at):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_rows_are_those_that_were_written_and_filters_and_columns_reach_sparks_reader(context, rows, place):
    found = context.read("sealed", "people").parquet(str(place))
    assert found.dtypes == rows.dtypes
    assert answer(found) == answer(rows)
    few = found.filter("id between 2 and 3").select("s")
    assert "PushedFilters: [IsNotNull(id), GreaterThanOrEqual(id,2)" in plan(few)
    assert "ReadSchema: struct<id:bigint,s:string>" in plan(few)
    assert few.union(found.filter("id > 19998").select("s")).count() == 3
    names = sorted(path.name for path in place.glob("part-*"))
    assert sorted(path.rpartition("/")[2] for path in found.inputFiles()) == names
    assert all(path.startswith("sealed://da-ta.1.") for path in found.inputFiles())


def test_two_generations_and_two_data_sets_meet_in_one_query(context, rows, place, tmp_path):
    before = context.read().parquet(str(place))
    context.write(rows.limit(10), "sealed", "people").mode("append").parquet(str(place))
    context.write(rows.limit(5), "sealed", "other").parquet(str(tmp_path / "other"))
    after, other = context.read().parquet(str(place)), context.read("sealed", "other").parquet(str(tmp_path / "other"))
    assert [each.count() for each in (before, after, other)] == [20_000, 20_010, 5]
    assert after.join(other, "id").count() == 10


def test_paths_are_names_whatever_is_in_them(context, primary_keys, rows, tmp_path):
    few = rows.select("id", "s", "small").coalesce(1)
    few.write.parquet(str(tmp_path / "plain"))
    (written,) = (tmp_path / "plain").glob("*.parquet")
    folder = tmp_path / "in" / "a: %20 {b,c}* [d] ${user.name}"
    folder.mkdir(parents=True)
    written.rename(folder / "ä+?#.parquet")
    place = str(tmp_path / "50% {o}")
    words = ["data", "seal", str(tmp_path / "in"), "--out", place, "--key", "people", "--name", "rows"]
    schema = "id bigint, s string, small decimal(12,3)"
    assert main([*words, "--keys", f"file:{primary_keys}", "--schema", schema]) == 0
    found = context.read().parquet(place)
    assert "sealed://" in plan(found)
    assert found.dtypes == few.dtypes
    assert found.exceptAll(few).count() == few.exceptAll(found).count() == 0


def test_a1_what_is_changed_after_the_check_ends_the_job_and_no_file_is_left_out(context, place):
    found = context.read().parquet(str(place))
    path = max(place.glob("part-*"))
    flip(path, 5 * 4096)
    setting = "spark.sql.files.ignoreCorruptFiles"
    context.spark.conf.set(setting, "true")
    try:
        assert f"SR-SEALED-DATA: {path.name}: data node 5" in refusal(found)
        flip(path, 5 * 4096)
        flip(path, 3000)
        assert f"SR-DATA-FILES: {path.name}: it is not the file" in refusal(found)
        path.unlink()
        assert f"SR-DATA-FILES: {path.name}: it is missing" in refusal(found)
    finally:
        context.spark.conf.unset(setting)


def test_a1_a_data_set_that_is_not_whole_old_or_another_is_refused_before_any_job(context, place):
    from strongroom.analytics.sealing.read import OtherDataSet
    from strongroom.datasets.manifest import DataSetOld
    from strongroom.errors import Tampered

    with pytest.raises(OtherDataSet, match="people, not other"):
        context.read("sealed", "other").parquet(str(place))
    with pytest.raises(DataSetOld):
        context.read().option("min_generation", 2).parquet(str(place))
    path = max(place.glob("part-*"))
    for at in (0, 40, path.stat().st_size - 1):
        flip(path, at)
        with pytest.raises(Tampered, match=path.name):
            context.read().parquet(str(place))
        flip(path, at)
    path.unlink()
    with pytest.raises(Tampered, match=path.name):
        context.read().parquet(str(place))


def test_an_10_a_session_without_the_key_reads_nothing(context, place, tmp_path):
    from strongroom.analytics import StrongroomContext
    from strongroom.analytics.keys.files import write_ring
    from strongroom.analytics.keys.service import KeyNotGranted
    from strongroom.datasets.key_ring import KeyRing

    write_ring(tmp_path / "keys", KeyRing.fresh("pay"))
    with (
        StrongroomContext(context.spark, f"file:{tmp_path / 'keys'}", in_memory=False) as poorer,
        pytest.raises(KeyNotGranted, match="people"),
    ):
        poorer.read().parquet(str(place))


@pytest.mark.full
def test_executors_of_a_cluster_decrypt_in_their_jvms(rows, place, primary_keys, lean_java, tmp_path):
    (tmp_path / "app.py").write_text(CLUSTER)
    words = [
        sys.executable, "-m", "strongroom", "spark", "submit", "--master", "local-cluster[2,1,512]", "--keys",
        f"file:{primary_keys}", "--key", "people", "--driver-memory", "512m", "--executor-memory", "512m", "--no-ui",
        "--driver-java-options", lean_java, "--conf", f"spark.executor.extraJavaOptions={lean_java}",
        "--conf", f"spark.executor.extraClassPath={kms_jar()}", str(tmp_path / "app.py"), str(place), ANSWER,
    ]  # fmt: skip
    expected = answer(rows)
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=500,
        env={**os.environ, "HOME": str(Path.home())},
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"scan sealed: {expected}", "refused True"], done.stderr[-3000:]
