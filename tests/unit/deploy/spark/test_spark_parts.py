"""What driver and executors start: words that our own commands take, manifests that name all that is measured."""

import pytest

from strongroom.analytics.agent import executor
from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.description import DeployMalformed, Description, SparkJob, Tee
from strongroom.deploy.gramine import manifests
from strongroom.deploy.spark.parts import app_files, manifest_names
from strongroom.deploy.spark.words import command, driver_words, enclave_command, executor_words
from strongroom.gramine import manifest
from strongroom.gramine.manifests import argv_file
from strongroom.launcher.launch import check
from strongroom.launcher.roles import Role, Settings
from strongroom.sparkjobs.flags import parse


def test_spark_submit_takes_the_drivers_words(described):
    spark, submit, *words = driver_words(described())
    found = parse(words)
    assert (spark, submit) == ("spark", "submit")
    assert (found.program, found.arguments) == ("/app/job/count.py", ("/data/people", "out"))
    assert (found.job, found.keys) == ("count", ("people", "pay"))
    assert (found.broker, found.broker_ca) == ("https://strongroom-broker:8080", "/app/ca_cert.pem")
    assert found.cluster_file == "/settings/cluster.conf"
    assert found.settings["spark.executor.memory"] == "1g"


def test_the_program_of_nobody_is_an_example_and_that_of_a_jar_has_its_class(described):
    assert parse(driver_words(described(spark=SparkJob()))[2:]).program.endswith("/analytics/examples/programs/pi.py")
    *_, name, program = driver_words(described(spark=SparkJob(program="x/a.jar", main_class="a.B")))
    assert (name, program) == ("--class=a.B", "/app/job/a.jar")


def test_a_job_s_report_goes_where_the_table_says(described):
    assert parse(driver_words(described())[2:]).report is None
    job = SparkJob(report="/data/report")
    assert parse(driver_words(described(spark=job))[2:]).report == "/data/report"


def test_the_measured_executor_takes_its_words(described):
    module, *words = executor_words(described())
    args = executor._parser().parse_args(words)
    assert module == "strongroom.analytics.agent.executor"
    assert (args.job, args.key, args.max_heap_mib) == ("count", ["people", "pay"], 1024)
    assert str(args.words_from) == "/work/words"


@pytest.mark.parametrize("part", ["driver", "executor"])
def test_a_parts_manifest_names_all_that_it_starts(described, part):
    found = manifest.parse(app_files(described())[f"spark-{part}.manifest"].decode())
    trusted = {each.path for each in found.trusted_files}
    assert trusted >= {
        "/app/ca_cert.pem",
        "/opt/java/bin/",
        "/opt/java/conf/",
        "/opt/java/lib/",
        "/opt/strongroom/",
        "/usr/lib/python3.11/",
    }
    assert ("/app/job/" in trusted) is (part == "driver")
    assert not [value for value in found.env.values() if value.passthrough]
    wanted = ("strongroom", *driver_words(described())) if part == "driver" else executor_words(described())
    assert found.argv[-len(wanted) :] == wanted
    assert found.argv[-len(wanted) - 1] == "-m"


def test_what_differs_from_cluster_to_cluster_is_not_measured(described):
    one = app_files(described())
    other = app_files(described(spark=SparkJob(**{**spark_fields(described().spark), "executors": 9, "cores": 4})))
    assert one == other
    assert b"sha256:" not in b"".join(one.values())  # an image cannot hold its own digest


def spark_fields(job):
    return {name: getattr(job, name) for name in job.__slots__}


def test_only_a_simulated_platform_launches_by_our_manifests(described):
    assert manifest_names(described()) == ("spark-driver.manifest", "spark-executor.manifest")
    assert manifest_names(described(Tee.TDX)) == manifest_names(Description()) == ()
    assert app_files(described(Tee.TDX)) == {}


def test_the_launcher_of_an_enclave_takes_its_words(described):
    _, _, script, _, *words = enclave_command(described(Tee.SGX))
    assert "gramine-sgx /app/spark-driver" in script
    program = argv_file.parse(manifests(described(Tee.SGX), GENERIC)["gramine/app/spark-program.argv"])
    assert program == ("--class", "test.Count", "local:///app/job/count.jar")
    settings = Settings(role=Role.SPARK_DRIVER, java="/opt/java/bin/java", home="/opt/spark", scratch="/local",
                        max_heap_mib=2048, program=program)  # fmt: skip
    launch = check(words, settings)
    assert launch.argv[-len(program) :] == program


def test_what_an_executors_words_are_handed_over_by_is_no_part_of_what_is_measured(described):
    words = command("executor", described(Tee.TDX))
    home = "--home=/opt/strongroom/lib/python3.11/site-packages/pyspark"
    assert words[3:5] == ("strongroom.analytics.agent.pod_executor", home)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"name": "Count"}, "name"),
        ({"program": "../x.py"}, "program"),
        ({"program": "a/../../x.py"}, "leads out"),
        ({"program": "x.sh"}, "program"),
        ({"program": "x.jar"}, "needs one"),
        ({"program": "x.py", "class": "A"}, "needs one"),
        ({"keys": "people"}, "keys"),
        ({"keys": ["a/b"]}, "keys"),
        ({"driver_memory": "1"}, "driver_memory"),
        ({"executors": 0}, "executors"),
        ({"conf": {}}, "conf"),
        *(
            ({"report": place}, "report")
            for place in ("report", "/etc", "/data", "/data/../etc", "/data/.x", "/data//a")
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_job_that_is_none_is_refused(table, why):
    with pytest.raises(DeployMalformed, match=why):
        Description.parse({"spark": table})


def test_a_job_is_read():
    found = Description.parse({"spark": {"name": "sums", "keys": ["a"], "program": "x.jar", "class": "A", "cores": 2}})
    assert found.spark == SparkJob(name="sums", keys=("a",), program="x.jar", main_class="A", cores=2)
    assert Description.parse({}).spark is None
    assert Description.parse({"spark": {}}).spark == SparkJob()
