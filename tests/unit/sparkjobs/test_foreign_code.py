"""What a job or an operator may give along: files of the driver's machine, and no code from elsewhere."""

import pytest

from strongroom.sparkjobs import properties
from strongroom.sparkjobs.flags import parse
from strongroom.sparkjobs.masters import MasterKind
from strongroom.sparkjobs.properties import Places
from strongroom.sparkjobs.redaction import SettingLocked, check_settings

PLACES = Places(folder="/m/s", key_store="/m/k", trust_store="/m/t", jars=("/a.jar",), event_log="/m/e",
                temporary="/m/x", agent="/m/agent.sock")  # fmt: skip
BROUGHT = {"--jars": "jar", "--py-files": "zip", "--files": "txt", "--archives": "tar.gz#here"}


def held(settings: dict[str, str], kind: MasterKind = MasterKind.STANDALONE) -> None:
    check_settings(settings, properties.kept(properties.secured(kind, PLACES)))


@pytest.mark.parametrize("option", BROUGHT)
@pytest.mark.parametrize(
    "place",
    ["http://h/a", "https://h/a", "HTTP://h/a", "hdfs:///a", "s3a://b/a", "ftp://h/a", "ivy://g:a:1", "local:/a", "local:///a",
     "spark://h:1/jars/a", "jar:file:/a", "data:,a", "viewfs://a"],
)  # fmt: skip
def test_an_07_files_from_elsewhere_are_no_code_of_a_job(option: str, place: str) -> None:
    end = BROUGHT[option]
    for value in (f"{place}.{end}", f"/own/a.{end}, {place}.{end}"):
        with pytest.raises(SettingLocked, match="measured"):
            held(dict(parse([option, value, "app.py"]).settings))


@pytest.mark.parametrize("option", BROUGHT)
def test_files_of_the_drivers_machine_are(option: str) -> None:
    end = BROUGHT[option]
    for value in (f"a.{end}", f"/own/a.{end},b.{end}", f"file:/own/a.{end}", f"file:///own/a.{end}", ""):
        held(dict(parse([option, value, "app.py"]).settings))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark.jars.packages", "org.evil:evil:1"), ("spark.jars.ivySettings", "/x"), ("spark.jars.repositories", "http://x"),
        ("spark.sql.hive.metastore.jars", "maven"), ("spark.sql.hive.metastore.jars.path", "/x"),
        ("spark.sql.maven.additionalRemoteRepositories", "http://x"),
        ("spark.executor.resource.gpu.discoveryScript", "/host/x.sh"),
        ("spark.driver.resource.gpu.discoveryScript", "/x"),
        ("spark.resources.discoveryPlugin", "evil.Plugin"),
        ("spark.pyspark.python", "/host/python"), ("spark.pyspark.driver.python", "/host/python"),
        ("spark.executor.extraJavaOptions", "-javaagent:/host/x.jar"),
        *((f"spark.executorEnv.{name}", "/host/x") for name in (
            "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PYSPARK_PYTHON", "PATH",
            "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "JAVA_HOME", "CLASSPATH", "BASH_ENV", "ENV",
            "BASH_FUNC_x%%", "GCONV_PATH", "SPARK_HOME", "SPARK_LOCAL_DIRS", "LOCAL_DIRS", "SPARK_EXECUTOR_DIRS",
            "SPARK_DIST_CLASSPATH", "HADOOP_CONF_DIR", "HADOOP_TOKEN_FILE_LOCATION", "TMPDIR", "HOME",
            "STRONGROOM_AGENT", "STRONGROOM_SPARK_SECRET_FILE", "CONTAINER_ID",
        )),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", list(MasterKind))
def test_an_07_no_setting_brings_code_beside_the_keys_that_nobody_measured(
    kind: MasterKind, name: str, value: str
) -> None:
    with pytest.raises(SettingLocked) as refused:
        held({name: value}, kind)
    assert refused.value.code == "SR-SPARK-SETTING"
    assert value not in refused.value.sentence


def test_what_only_computes_is_taken() -> None:
    held({"spark.executorEnv.OMP_NUM_THREADS": "1", "spark.executorEnv.TZ": "UTC", "spark.executorEnv.MY_SETTING": "x",
          "spark.sql.hive.metastore.jars": "builtin", "spark.executor.resource.gpu.amount": "1"})  # fmt: skip
