"""Encrypted Parquet in a real Spark: the JVM's route, pyarrow's, and programs that know nothing of our context."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from strongroom.analytics import CryptoMode, StrongroomContext
from strongroom.analytics.keys.files import FileKeyService
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.parquet.arrow import read_dataset, write_dataset
from strongroom.analytics.parquet.build import kms_jar
from strongroom.analytics.parquet.jvm import FolderNotReached, JvmFolder, KmsJarMissing
from strongroom.analytics.sealing.read import NoDataSet, OtherDataSet
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import FILE_NAME, DataFilesChanged, DataSetOld
from strongroom.datasets.names import BadCryptoMode
from strongroom.pki import disk
from strongroom.secret import Secret

# PySpark leaves the sockets that it collects rows by to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FAILED = (Py4JJavaError, PySparkException)  # what PySpark raises when tasks fail
# Names that neither random bytes nor base64 hold by chance: files are looked through for them.
ROWS = [(1, "Ada-Lovelace", 10.5), (2, "Bob-Beamon", 20.5), (3, "Cyd-Charisse", None)]
SCHEMA = "id int, name string, salary double"
MODES = ["AES_GCM_V1", "AES_GCM_CTR_V1"]


def key_folder(folder, *names):
    """Make a folder of primary keys."""
    folder.mkdir(mode=0o700)
    for name in names:
        disk.write_secret(folder / f"{name}.key", Secret(KeyRing.fresh(name).to_bytes()))
    return folder


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A folder with both owners' keys."""
    return key_folder(tmp_path_factory.mktemp("keys") / "both", "people", "pay")


@pytest.fixture(scope="module")
def context(trusted_session, keys):
    """A context with both owners' keys."""
    with StrongroomContext(trusted_session.spark, f"file:{keys}") as made:
        yield made


@pytest.fixture(scope="module")
def people(context):
    """Three rows in two files."""
    return context.spark.createDataFrame(ROWS, SCHEMA).repartition(2)


def rows(df):
    """Return a DataFrame's rows in order."""
    return sorted((tuple(row) for row in df.select("id", "name", "salary").collect()), key=lambda row: row[0])


def data_files(folder):
    """Return the data files of a folder, in order."""
    return sorted(path for path in folder.rglob("*.parquet") if path.is_file())


def reason(problem):
    """Return all that Spark says about a failure."""
    return f"{problem} {getattr(problem, 'java_exception', '')}"


@pytest.mark.parametrize("mode", MODES)
def test_spark_and_pyarrow_read_what_the_other_wrote(context, people, keys, tmp_path, mode):
    service = FileKeyService(keys)
    context.write(people, mode, "people").column_key("pay", "salary").parquet(str(tmp_path / "spark"))
    table = read_dataset(tmp_path / "spark", service)
    assert sorted(table.to_pylist(), key=lambda row: row["id"])[0] == {"id": 1, "name": "Ada-Lovelace", "salary": 10.5}
    write_dataset(table, tmp_path / "arrow", service, "people", mode=CryptoMode(mode), columns={"pay": ["salary"]})
    assert rows(context.read(mode, "people").parquet(str(tmp_path / "arrow"))) == ROWS
    assert rows(context.read(mode, "people").parquet(f"file:{tmp_path}/spark")) == ROWS
    for path in data_files(tmp_path):
        content = path.read_bytes()
        assert content.startswith(b"PARE")
        assert not any(word in content for word in (b"salary", b"Ada-Lovelace", b"Bob-Beamon"))


def test_the_schema_is_the_writers_and_known_without_a_job(context, people, tmp_path):
    context.write(people, "AES_GCM_V1", "people").parquet(str(tmp_path / "people"))
    assert context.read("AES_GCM_V1").parquet(str(tmp_path / "people")).schema == people.schema


def test_modes_of_writing_keep_count_of_generations(context, people, tmp_path):
    path = tmp_path / "people"
    place = str(path)
    context.write(people, "AES_GCM_V1", "people").parquet(place)
    with pytest.raises(Exception, match="there is data") as caught:
        context.write(people, "AES_GCM_V1", "people").parquet(place)
    assert caught.value.code == "SR-DATA-SET-THERE"
    context.write(people, "AES_GCM_V1", "people").mode("ignore").parquet(place)
    context.write(people.limit(1), "AES_GCM_V1", "people").mode("append").parquet(place)
    assert context.read("AES_GCM_V1").parquet(place).count() == 4
    again = context.read("AES_GCM_V1").parquet(place).where("id < 3")
    context.write(again, "AES_GCM_CTR_V1", "people").mode("overwrite").partition_by("name").parquet(place)  # itself
    assert context.read("AES_GCM_V1", "people").option("min_generation", 3).parquet(place).count() >= 2
    assert json.loads((path / FILE_NAME).read_text())["generation"] == 3
    assert {each.parent.name for each in data_files(path)} == {"name=Ada-Lovelace", "name=Bob-Beamon"}
    with pytest.raises(DataSetOld):
        context.read("AES_GCM_V1").option("min_generation", 4).parquet(place)


def test_columns_that_came_later_are_null_before(context, people, tmp_path):
    place = str(tmp_path / "people")
    context.write(people.drop("salary"), "AES_GCM_V1", "people").parquet(place)
    context.write(people, "AES_GCM_V1", "people").mode("append").parquet(place)
    found = context.read("AES_GCM_V1").parquet(place)
    assert (found.count(), found.where("salary is null").count()) == (6, 4)


def test_tables_of_several_owners_meet_in_one_query(context, people, tmp_path):
    context.write(people.drop("salary"), "AES_GCM_V1", "people").parquet(str(tmp_path / "people"))
    context.write(people.drop("name"), "AES_GCM_CTR_V1", "pay").parquet(str(tmp_path / "pay"))
    context.read("AES_GCM_V1", "people").parquet(str(tmp_path / "people")).createOrReplaceTempView("people")
    context.read("AES_GCM_CTR_V1", "pay").parquet(str(tmp_path / "pay")).createOrReplaceTempView("pay")
    assert context.sql("select name from people join pay using (id) where salary > 11").collect() == [("Bob-Beamon",)]


def test_an_10_a_job_without_a_columns_key_gets_an_error_and_no_nulls(context, people, keys, tmp_path):
    context.write(people, "AES_GCM_V1", "people").column_key("pay", "salary").parquet(str(tmp_path / "people"))
    some = tmp_path / "some"
    some.mkdir(mode=0o700)
    shutil.copy2(keys / "people.key", some)
    with StrongroomContext(context.spark, f"file:{some}") as poorer:
        found = poorer.read("AES_GCM_V1", "people").parquet(str(tmp_path / "people"))
        assert sorted(row.name for row in found.select("name").collect()) == [
            "Ada-Lovelace",
            "Bob-Beamon",
            "Cyd-Charisse",
        ]
        with pytest.raises(FAILED) as caught:
            found.select("salary").collect()
        assert "there is no primary key 'pay'" in reason(caught.value)
        with pytest.raises(KeyNotGranted, match="pay"):
            poorer.write(people, "AES_GCM_V1", "pay").parquet(str(tmp_path / "more"))
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize(
    ("attack", "named"),
    [
        (lambda one, two: one.unlink(), "is missing"),
        (lambda one, two: shutil.copy(one, one.with_name("part-9.parquet")), "part-9.parquet was added"),
        (lambda one, two: one.write_bytes(one.read_bytes()[:-1]), "bytes instead of"),
        (lambda one, two: one.write_bytes(one.read_bytes()[:-20] + b"X" * 20), "is not the file"),
    ],
    ids=["missing", "added", "cut", "changed"],
)
def test_kd_25_a_changed_folder_is_refused_before_anything_is_read(context, people, tmp_path, attack, named):
    context.write(people, "AES_GCM_V1", "people").parquet(str(tmp_path / "people"))
    attack(*data_files(tmp_path / "people")[:2])
    with pytest.raises(DataFilesChanged, match=named):
        context.read("AES_GCM_V1").parquet(str(tmp_path / "people"))


def test_a_file_that_is_exchanged_after_the_check_does_not_open(context, people, tmp_path):
    context.write(people, "AES_GCM_CTR_V1", "people").parquet(str(tmp_path / "people"))
    found = context.read("AES_GCM_CTR_V1").parquet(str(tmp_path / "people"))
    one, two = data_files(tmp_path / "people")[:2]
    one.write_bytes(two.read_bytes())
    with pytest.raises(FAILED) as caught:
        found.collect()
    assert "AAD Prefix" in reason(caught.value)


def test_a_file_in_clear_is_not_read_either(context, people, tmp_path):
    context.write(people, "AES_GCM_V1", "people").parquet(str(tmp_path / "people"))
    found = context.read("AES_GCM_V1").parquet(str(tmp_path / "people"))
    people.coalesce(1).write.parquet(str(tmp_path / "clear"))
    shutil.copy(data_files(tmp_path / "clear")[0], data_files(tmp_path / "people")[0])
    with pytest.raises(FAILED) as caught:
        found.collect()
    assert "CANNOT_READ_FILE_FOOTER" in reason(caught.value) or "crypto" in reason(caught.value)


def test_what_is_no_data_set_of_this_mode_is_said(context, people, tmp_path):
    people.write.parquet(str(tmp_path / "plain"))
    with pytest.raises(NoDataSet):
        context.read("AES_GCM_V1").parquet(str(tmp_path / "plain"))
    context.write(people, "sealed", "people").parquet(str(tmp_path / "sealed"))
    with pytest.raises(OtherDataSet, match="sealed"):
        context.read("AES_GCM_V1").parquet(str(tmp_path / "sealed"))
    with pytest.raises(BadCryptoMode):
        context.write(people, "AES_GCM_V1", "people").csv(str(tmp_path / "csv"))


def test_wrong_settings_are_refused_before_spark_works(context, people, tmp_path):
    with pytest.raises(Exception, match="mode is one of") as caught:
        context.write(people).mode("replace")
    assert caught.value.code == "SR-CONTEXT-OPTION"
    with pytest.raises(Exception, match="min_generation"):
        context.read("AES_GCM_V1").option("min_generation", "many").parquet(str(tmp_path))
    with pytest.raises(Exception, match="keys of their own"):
        context.write(people, "sealed", "people").column_key("pay", "salary").parquet(str(tmp_path / "x"))
    with pytest.raises(KeyNotGranted, match="none is named"):
        context.write(people, "AES_GCM_V1").parquet(str(tmp_path / "x"))


def test_a_write_that_fails_leaves_nothing(context, people, tmp_path):
    bad = people.selectExpr("id", "assert_true(id < 3) as checked")
    with pytest.raises(FAILED, match="USER_RAISED"):
        context.write(bad, "AES_GCM_V1", "people").parquet(str(tmp_path / "people"))
    assert list((tmp_path / "people").glob("*")) == []


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_sealed_files_of_every_kind_come_back(context, people, tmp_path, kind):
    place = str(tmp_path / kind)
    getattr(context.write(people, "sealed", "people").option("name", "staff"), kind)(place)
    reader = context.read(CryptoMode.SEALED, "people").schema(SCHEMA)
    assert rows(getattr(reader, kind)(place)) == ROWS


def test_lines_come_back_as_lines(context, tmp_path):
    lines = context.spark.createDataFrame([("one",), ("two",)], "value string").coalesce(1)
    context.write(lines, "sealed", "people").text(str(tmp_path / "lines"))
    found = context.textfile(str(tmp_path / "lines"), crypto_mode="sealed", primary_key_name="people", min_partitions=2)
    assert sorted(found.collect()) == ["one", "two"]
    (tmp_path / "plain.txt").write_text("three\n")
    assert context.textfile(str(tmp_path / "plain.txt")).collect() == ["three"]


def test_plain_text_is_sparks_own(context, people, tmp_path):
    context.write(people, "plain_text").mode("overwrite").option("header", True).csv(str(tmp_path / "plain"))
    found = context.read("plain_text").options(header=True, inferSchema=True).csv(str(tmp_path / "plain"))
    assert rows(found) == ROWS


def test_a_file_system_that_is_not_there_is_said(context, monkeypatch):
    with pytest.raises(FolderNotReached, match="nowhere") as caught:
        JvmFolder(context.spark, "nowhere://host/people")
    assert caught.value.code == "SR-SPARK-FOLDER"


def test_a_session_without_our_jar_is_said(context):
    class Package:
        """What py4j has in place of a class that is not there."""

        strongroom = parquet = DataFolder = property(lambda self: self)

    class Session:
        """A session of a JVM with packages alone."""

        _jvm = Package()

    with pytest.raises(KmsJarMissing, match="DataFolder") as caught:
        JvmFolder(Session(), "people")
    assert caught.value.code == "SR-SPARK-KMS-JAR"


PLAIN = """
import sys
from pyspark.sql import SparkSession
jar, path, java = sys.argv[1:]
spark = (SparkSession.builder.master("local[1]").config("spark.jars", jar).config("spark.ui.enabled", "false")
    .config("spark.driver.extraJavaOptions", java)
    .config("spark.hadoop.parquet.crypto.factory.class",
            "org.apache.parquet.crypto.keytools.PropertiesDrivenCryptoFactory")
    .config("spark.hadoop.parquet.encryption.kms.client.class", "strongroom.parquet.StrongroomKmsClient")
    .getOrCreate())
print([tuple(row) for row in spark.read.parquet(path).orderBy("id").collect()])
(spark.range(3).write.option("parquet.encryption.footer.key", "people.1")
    .option("parquet.encryption.column.keys", "people.1:id").parquet(path + "-written"))
"""


def test_plain_spark_with_the_exported_jar_reads_and_writes(context, people, keys, tmp_path, lean_java):
    context.write(people, "AES_GCM_V1", "people").column_key("pay", "salary").parquet(str(tmp_path / "people"))
    jar = shutil.copy(kms_jar(), tmp_path / "client.jar")
    environ = {**os.environ, "STRONGROOM_AGENT": context.socket, "PYSPARK_PYTHON": sys.executable}
    environ = {name: value for name, value in environ.items() if not name.startswith("SPARK_")}
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, jar, str(tmp_path / "people"), lean_java], env=environ, capture_output=True,
        text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == str(ROWS), done.stderr[-2000:]
    from strongroom.analytics.parquet.arrow import read_file

    written = [read_file(path, FileKeyService(keys)) for path in data_files(tmp_path / "people-written")]
    assert sorted(row["id"] for table in written for row in table.to_pylist()) == [0, 1, 2]
