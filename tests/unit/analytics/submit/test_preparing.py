"""From what is wanted to what Spark starts from: checked, complete, without a secret in the environment."""

import subprocess
import sys

import pytest

from strongroom.analytics.session.folder import SessionFolder
from strongroom.analytics.session.surroundings import SECRET_FILE_VARIABLE
from strongroom.analytics.submit import gateway, preparing
from strongroom.analytics.submit.preparing import InsecureWithKeys, NoApplicationSecret, Wanted, prepare
from strongroom.pki.disk import LoosePermissions
from strongroom.sparkjobs import defaults_file
from strongroom.sparkjobs.redaction import SecretInSettings, SettingLocked

SECRET = "5d" * 32


@pytest.fixture
def folder(monkeypatch):
    pytest.importorskip("pyspark")
    monkeypatch.setattr(preparing, "build", lambda sources: sources / "gateway.jar")
    monkeypatch.setattr(preparing, "kms_jar", lambda: preparing.JAVA_SOURCES / "kms.jar")
    made = SessionFolder.create(insecure=True)
    yield made
    made.remove()


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "spark"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


def written(folder, name="conf/spark-defaults.conf"):
    return defaults_file.parse((folder.path / name).read_bytes())


def test_an_09_secrets_stand_in_the_private_file_and_nowhere_else(folder, secret_file):
    prepared = prepare(folder, Wanted(master="spark://h:7077", secret_file=str(secret_file)), {})
    settings = written(folder)
    assert settings["spark.authenticate.secret"] == SECRET
    assert settings["spark.ssl.keyStorePassword"] not in str(prepared.settings) + str(prepared.environ)
    assert SECRET not in str(prepared.settings) + str(prepared.environ)


def test_the_agents_file_is_found_by_its_variable(folder, secret_file):
    environ = {SECRET_FILE_VARIABLE: str(secret_file)}
    prepare(folder, Wanted(master="spark://h:7077"), environ)
    assert written(folder)["spark.authenticate.secret"] == SECRET


def test_pods_get_files_and_no_secret_setting(folder, secret_file):
    prepare(folder, Wanted(master="k8s://https://h:6443", secret_file=str(secret_file)), {})
    settings = written(folder)
    assert "spark.authenticate.secret" not in settings
    assert settings["spark.authenticate.secret.driver.file"] == str(secret_file)


def test_a_cluster_without_a_secret_is_refused(folder):
    with pytest.raises(NoApplicationSecret) as refused:
        prepare(folder, Wanted(master="spark://h:7077"), {})
    assert refused.value.code == "SR-SPARK-NO-SECRET"


def test_a_secret_that_others_can_read_is_refused(folder, secret_file):
    secret_file.chmod(0o644)
    with pytest.raises(LoosePermissions):
        prepare(folder, Wanted(master="spark://h:7077", secret_file=str(secret_file)), {})


def test_sparks_own_ways_through_the_environment_are_closed(folder):
    environ = {"_SPARK_AUTH_SECRET": SECRET, "JAVA_TOOL_OPTIONS": "-agentlib:jdwp", "PYSPARK_SUBMIT_ARGS": "x",
               "SPARK_EXECUTOR_DIRS": "/tmp", "CONTAINER_ID": "1", "LOCAL_DIRS": "/tmp", "HOME": "/h",
               "STRONGROOM_AGENT": "/stale"}  # fmt: skip
    found = prepare(folder, Wanted(), environ).environ
    assert found["HOME"] == "/h"
    assert not set(environ) - {"HOME"} & set(found)
    assert SECRET not in str(found)
    assert found["SPARK_LOCAL_DIRS"] == str(folder.local)


def test_the_agent_is_named_to_spark_and_its_workers(folder):
    found = prepare(folder, Wanted(agent="/a/agent.sock"), {})
    assert found.environ["STRONGROOM_AGENT"] == "/a/agent.sock"
    settings = written(folder)
    assert settings["spark.hadoop.strongroom.agent"] == "/a/agent.sock"
    assert settings["spark.driver.extraClassPath"].endswith("kms.jar")


def test_settings_of_the_user_are_held_against_what_is_kept(folder):
    with pytest.raises(SettingLocked):
        prepare(folder, Wanted(settings={"spark.io.encryption.enabled": "false"}), {})
    with pytest.raises(SecretInSettings):
        prepare(folder, Wanted(settings={"spark.hadoop.fs.s3a.secret.key": "x"}), {})
    prepare(folder, Wanted(settings={"spark.driver.memory": "1g"}), {})
    assert written(folder)["spark.driver.memory"] == "1g"
    locked = written(folder, "locked.properties")
    assert locked["spark.authenticate"] == "true"
    assert "spark.driver.memory" not in locked


def test_an_08_an_insecure_session_gets_no_keys(folder):
    with pytest.raises(InsecureWithKeys) as refused:
        prepare(folder, Wanted(insecure=True, agent="/a"), {})
    assert refused.value.code == "SR-SPARK-INSECURE"


def test_an_insecure_session_has_what_its_gateway_needs_and_nothing_else(folder):
    prepare(folder, Wanted(insecure=True, settings={"spark.authenticate": "false"}), {})
    settings = written(folder)
    assert settings["spark.authenticate"] == "false"
    assert "spark.io.encryption.enabled" not in settings
    assert settings["spark.ssl.keyStore"]
    assert written(folder, "locked.properties") == {}


def test_a_jvm_that_ends_before_it_can_be_spoken_with_is_said(folder):
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as process:
        process.wait()
    with pytest.raises(gateway.DriverNotStarted, match="ended with 3") as refused:
        gateway._port(folder, process)
    assert refused.value.code == "SR-SPARK-DRIVER"
