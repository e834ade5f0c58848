"""The secured configuration: complete, without secrets, and not to be changed."""

import re
from dataclasses import replace

import pytest

from strongroom.sparkjobs import properties
from strongroom.sparkjobs.masters import MasterKind
from strongroom.sparkjobs.properties import Places, Rpc
from strongroom.sparkjobs.redaction import REDACTION, SecretInSettings, SettingLocked, check_settings, is_secret_name

PLACES = Places(
    folder="/dev/shm/s", key_store="/dev/shm/s/k", trust_store="/dev/shm/s/t", jars=("/a.jar", "/b.jar"),
    event_log="/dev/shm/s/events", temporary="/dev/shm/s/t", agent="/dev/shm/a/agent.sock",
)  # fmt: skip


@pytest.mark.parametrize("kind", list(MasterKind))
def test_an_09_authentication_encryption_and_tls_are_on_for_every_master(kind: MasterKind) -> None:
    settings = properties.secured(kind, PLACES)
    assert settings["spark.authenticate"] == "true"
    assert settings["spark.network.crypto.enabled"] == "true"
    assert settings["spark.network.crypto.cipher"] == "AES/GCM/NoPadding"
    assert settings["spark.network.crypto.saslFallback"] == "false"
    assert settings["spark.io.encryption.enabled"] == "true"
    assert settings["spark.ssl.enabled"] == "true"
    assert settings["spark.python.unix.domain.socket.enabled"] == "true"


def test_a_driver_that_crashes_writes_no_memory_to_a_disk() -> None:
    words = properties.secured(MasterKind.LOCAL, PLACES)["spark.driver.defaultJavaOptions"].split()
    assert {"-XX:-CreateCoredumpOnCrash", "-XX:ErrorFile=/dev/shm/s/t/java_error.log",
            "-XX:ReplayDataFile=/dev/shm/s/t/java_replay.log"} <= set(words)  # fmt: skip
    for option in ("-XX:ErrorFile=/disk/x", "-XX:ReplayDataFile=/disk/x"):
        with pytest.raises(SettingLocked):
            check_settings({"spark.driver.extraJavaOptions": option}, {})


def test_hives_metastore_is_in_the_sessions_memory() -> None:
    words = properties.secured(MasterKind.LOCAL, PLACES)["spark.driver.defaultJavaOptions"].split()
    assert "-Dderby.system.home=/dev/shm/s/t" in words


def test_the_drivers_java_has_the_guard_and_words_with_spaces_stay_whole() -> None:
    places = replace(PLACES, guard="/my home/java/submit.jar", temporary='/t"\\')
    words = properties.secured(MasterKind.LOCAL, places)["spark.driver.defaultJavaOptions"]
    assert words.endswith(r'"-javaagent:/my home/java/submit.jar=/dev/shm/s"')
    assert r'"-Djava.io.tmpdir=/t\"\\"' in words
    assert "-javaagent" not in properties.secured(MasterKind.LOCAL, PLACES)["spark.driver.defaultJavaOptions"]


def test_rpc_by_tls_takes_the_place_of_aes() -> None:
    settings = properties.secured(MasterKind.LOCAL, PLACES, rpc=Rpc.TLS)
    assert settings["spark.ssl.rpc.enabled"] == "true"
    assert settings["spark.network.crypto.enabled"] == "false"
    assert Rpc("crypto") is Rpc.AES


def test_a6_no_setting_but_the_private_ones_holds_a_secret() -> None:
    settings = properties.secured(MasterKind.STANDALONE, PLACES)
    assert not [name for name in settings if is_secret_name(name)]
    assert all(is_secret_name(name) for name in properties.private("p", "s"))
    assert all(re.search(REDACTION, name) for name in properties.private("p", "s"))


def test_local_sessions_listen_on_loopback_alone() -> None:
    settings = properties.secured(MasterKind.LOCAL, PLACES)
    assert settings["spark.driver.host"] == settings["spark.driver.bindAddress"] == "127.0.0.1"
    assert "spark.driver.host" not in properties.secured(MasterKind.STANDALONE, PLACES)


@pytest.mark.parametrize(
    "change",
    [
        {"spark.authenticate": "false"}, {"spark.io.encryption.enabled": "false"}, {"spark.redaction.regex": "x"},
        {"spark.network.crypto.enabled": "FALSE"}, {"spark.eventLog.dir": "file:///tmp"},
        {"spark.python.unix.domain.socket.enabled": "false"}, {"spark.ssl.keyStore": "/other"},
        {"spark.driver.defaultJavaOptions": "-Dx=y"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_an_09_what_protects_a_session_is_not_changed(change: dict[str, str]) -> None:
    kept = properties.kept(properties.secured(MasterKind.LOCAL, PLACES))
    with pytest.raises(SettingLocked) as refused:
        check_settings(change, kept)
    assert refused.value.code == "SR-SPARK-SETTING"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark.ssl.ui.enabled", "false"), ("spark.ssl.rpc.enabledAlgorithms", "TLS_NULL"),
        ("spark.ssl.ui.keyStore", "/other"),
        ("spark.driver.extraJavaOptions", "-Xss2m -agentlib:jdwp=transport=dt_socket,server=y,address=*:5005"),
        ("spark.driver.extraJavaOptions", "-XX:+HeapDumpOnOutOfMemoryError"),
        ("spark.driver.extraJavaOptions", "-Xss2m -Xbootclasspath/a:/tmp/evil.jar"),
        ("spark.driver.extraJavaOptions", "--patch-module=java.base=/tmp/evil.jar"),
        ("spark.driver.extraJavaOptions", "-XX:SharedArchiveFile=/tmp/evil.jsa"),
        ("spark.driver.extraJavaOptions", "-Xshare:dump"),
        ("spark.driver.extraJavaOptions", "-Djava.system.class.loader=Evil"),
        ("spark.driver.extraJavaOptions", "-XX:-DisableAttachMechanism"),
        ("spark.driver.extraJavaOptions", "'-Dcom.sun.management.jmxremote.port=9999'"),
        ("spark.driver.extraJavaOptions", "-Dspark.strongroom.folder=/other"), ("spark.driver.extraJavaOptions", "@f"),
        ("spark.executor.extraJavaOptions", "-javaagent:/x.jar"),
        ("spark.plugins", "a.B,org.apache.spark.sql.connect.SparkConnectPlugin"),
    ],
)  # fmt: skip
def test_what_would_stand_above_a_sessions_settings_is_refused(name: str, value: str) -> None:
    kept = properties.kept(properties.secured(MasterKind.LOCAL, PLACES))
    with pytest.raises(SettingLocked):
        check_settings({name: value}, kept)


def test_harmless_words_for_java_and_ports_are_taken() -> None:
    kept = properties.kept(properties.secured(MasterKind.LOCAL, PLACES))
    words = "-XX:+UseSerialGC -XX:-HeapDumpOnOutOfMemoryError -Duser.timezone=UTC -Dmail=a@b"
    check_settings({"spark.driver.extraJavaOptions": words, "spark.ssl.ui.port": "0", "spark.plugins": "a.B"}, kept)


def test_the_same_value_again_is_no_change() -> None:
    kept = properties.kept(properties.secured(MasterKind.LOCAL, PLACES))
    check_settings({"spark.authenticate": "TRUE", "spark.sql.shuffle.partitions": "4"}, kept)


@pytest.mark.parametrize(
    "name",
    [
        "spark.authenticate.secret", "spark.ssl.keyStorePassword", "spark.hadoop.fs.s3a.access.key",
        "spark.hadoop.fs.s3a.secret.key", "spark.bigdl.primaryKey.a.plainText", "spark.my.apiKey", "spark.x.token",
    ],
)  # fmt: skip
def test_a6_a_secret_among_the_settings_is_refused_without_repeating_it(name: str) -> None:
    with pytest.raises(SecretInSettings) as refused:
        check_settings({name: "canary-7f3a"}, {})
    assert "canary-7f3a" not in str(refused.value)
    assert refused.value.code == "SR-SPARK-SECRET-SETTING"


@pytest.mark.parametrize("name", ["spark.authenticate.secret.file", "spark.x.passwordFile", "spark.sql.tokenPath"])
def test_names_of_files_with_secrets_are_taken(name: str) -> None:
    check_settings({name: "/run/x"}, {})


def test_lists_are_added_to_and_open_settings_are_the_users() -> None:
    session = properties.secured(MasterKind.LOCAL, PLACES)
    asked = {"spark.driver.extraClassPath": "a.jar", "spark.ui.enabled": "false", "spark.buffer.size": "65536"}
    both = properties.merged(asked, session)
    assert both["spark.ui.enabled"] == "false"
    assert (session["spark.buffer.size"], both["spark.buffer.size"]) == ("1048576", "65536")
    assert both["spark.driver.extraClassPath"] == "/a.jar:/b.jar:a.jar"


def test_pods_find_sparks_secret_in_files() -> None:
    assert properties.secret_files("/run/d") == {
        "spark.authenticate.secret.driver.file": "/run/d",
        "spark.authenticate.secret.executor.file": properties.EXECUTOR_SECRET_FILE,
    }


def test_an_09_pods_of_kubernetes_are_told_no_secret_and_need_few_rights() -> None:
    settings = properties.secured(MasterKind.KUBERNETES, replace(PLACES, application="5e55"))
    files = properties.secret_files("/dev/shm/a/spark")
    # Spark puts its secret into the executors' environment unless it is told of files, for both sides.
    assert set(files) == {"spark.authenticate.secret.driver.file", "spark.authenticate.secret.executor.file"}
    assert settings["spark.kubernetes.executor.disableConfigMap"] == "true"
    assert settings["spark.kubernetes.executor.deleteOnTermination"] == "true"
    assert settings["spark.ssl.rpc.enabled"] == "false"
    assert settings[properties.APPLICATION] == settings["spark.kubernetes.executor.label.strongroom-session"] == "5e55"
    assert not [name for name in {**settings, **files} if is_secret_name(name)]


def test_executors_of_kubernetes_reach_the_driver_by_its_service() -> None:
    settings = properties.secured(MasterKind.KUBERNETES, PLACES)
    assert settings["spark.driver.port"] == str(properties.DRIVER_PORT)
    assert settings["spark.driver.blockManager.port"] == settings["spark.blockManager.port"]
    assert settings["spark.driver.bindAddress"] == "0.0.0.0"  # noqa: S104  # a pod's
    assert settings["spark.kubernetes.executor.useDriverPodIP"] == "false"
    assert "spark.driver.bindAddress" not in properties.secured(MasterKind.STANDALONE, PLACES)


def test_the_token_of_an_application_stays_as_the_agent_derived_it() -> None:
    session = properties.secured(MasterKind.KUBERNETES, replace(PLACES, application="5e55"))
    with pytest.raises(SettingLocked):
        check_settings({properties.APPLICATION: "other"}, properties.kept(session))
