"""What Spark tells an executor's pod becomes words for Java; anything else is refused."""

import contextlib
import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.launcher.launch import check
from strongroom.launcher.roles import Role, Settings
from strongroom.sparkjobs.executor_pod import MAIN, NotAnExecutorPod, command

HOME = "/opt/spark"
ENVIRONMENT = {
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@job-driver.jobs.svc:7078", "SPARK_EXECUTOR_CORES": "2",
    "SPARK_EXECUTOR_MEMORY": "1024m", "SPARK_APPLICATION_ID": "spark-2f", "SPARK_EXECUTOR_ID": "3",
    "SPARK_RESOURCE_PROFILE_ID": "0", "SPARK_EXECUTOR_POD_IP": "10.244.0.7",
    "SPARK_EXECUTOR_POD_NAME": "job-exec-3", "SPARK_JAVA_OPT_0": "-XX:-UsePerfData",
    "SPARK_JAVA_OPT_10": "-Dspark.driver.port=7078", "SPARK_JAVA_OPT_2": "-Dspark.authenticate=true",
    "SPARK_CONF_DIR": "/opt/spark/conf", "SPARK_CLASSPATH": "/elsewhere/evil.jar", "_SPARK_AUTH_SECRET": "5ec2e7",
    "LD_PRELOAD": "/evil.so", "PATH": "/bin",
}  # fmt: skip


def test_spark_on_kubernetes_is_told_in_the_words_of_its_own_image():
    assert command(ENVIRONMENT, HOME) == (
        "-XX:-UsePerfData", "-Dspark.authenticate=true", "-Dspark.driver.port=7078", "-Xms1024m", "-Xmx1024m",
        "-cp", "/opt/spark/jars/*", MAIN,
        "--driver-url", "spark://CoarseGrainedScheduler@job-driver.jobs.svc:7078", "--executor-id", "3",
        "--cores", "2", "--app-id", "spark-2f", "--hostname", "10.244.0.7", "--resourceProfileId", "0",
        "--podName", "job-exec-3",
    )  # fmt: skip


def test_the_measured_launcher_takes_these_words():
    settings = Settings(role=Role.SPARK_EXECUTOR, java="/opt/java/bin/java", home=HOME, scratch="/local",
                        max_heap_mib=512)  # fmt: skip
    launch = check(command(ENVIRONMENT, HOME), settings)
    assert "-Xmx512m" in launch.argv
    assert "/elsewhere" not in str(launch)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPARK_DRIVER_URL", ""), ("SPARK_EXECUTOR_ID", None), ("SPARK_EXECUTOR_MEMORY", "much"),
        ("SPARK_EXECUTOR_MEMORY", "0m"), ("SPARK_JAVA_OPT_3", "a\nb"), ("SPARK_JAVA_OPT_4", "x" * 5000),
        ("SPARK_JAVA_OPT_5", ""), ("SPARK_APPLICATION_ID", "ä"),
    ],
    ids=["empty", "missing", "no size", "nothing", "two lines", "long", "empty option", "not ASCII"],
)  # fmt: skip
def test_what_spark_does_not_say_is_refused(name, value):
    changed = {**ENVIRONMENT, name: value}
    with pytest.raises(NotAnExecutorPod) as refused:
        command({key: each for key, each in changed.items() if each is not None}, HOME)
    assert refused.value.code == "SR-SPARK-POD"


def test_more_options_than_there_can_be_are_refused():
    with pytest.raises(NotAnExecutorPod):
        command({**ENVIRONMENT, **{f"SPARK_JAVA_OPT_{number}": "-server" for number in range(600)}}, HOME)


@given(st.dictionaries(st.sampled_from([*ENVIRONMENT, "SPARK_JAVA_OPT_77"]), st.text(max_size=30), max_size=6))
def test_any_environment_is_words_or_an_error_of_ours(changes):
    with contextlib.suppress(StrongroomError):
        words = command({**ENVIRONMENT, **changes}, HOME)
        assert all(word.isascii() and word.isprintable() and word for word in words)


def test_the_main_class_is_in_sparks_jars():
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        pytest.skip("PySpark is not installed")
    import zipfile
    from pathlib import Path

    (jar,) = (Path(spec.origin).parent / "jars").glob("spark-kubernetes_*.jar")
    assert f"{MAIN.replace('.', '/')}.class" in zipfile.ZipFile(jar).namelist()
