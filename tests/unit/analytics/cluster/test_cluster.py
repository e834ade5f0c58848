"""A cluster's folder and processes, with small programs in the place of Spark's daemons."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import stat
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from strongroom.analytics.cluster import programs, running
from strongroom.analytics.cluster.cluster import (
    Cluster,
    NoSparkCluster,
    NoSuchAddress,
    NotACluster,
    OtherSettings,
    prepare,
)
from strongroom.analytics.cluster.java import JavaNotFound, find_java
from strongroom.analytics.cluster.running import ClusterNotUp
from strongroom.analytics.cluster.settings import Settings
from strongroom.cli import main
from strongroom.serving.operations import detached

SETTINGS = Settings(
    broker="https://broker:8080", job="demo", workers=1, port=0, ui_port=0, python=sys.executable, package="/p",
    java="/java", home="/h",
)  # fmt: skip
SAYS = {role: text.decode() for role, text in running._SAYS.items()}  # what Spark's daemons say


def daemon(settings, role, folder):
    """A program that says what Spark's daemon says, and stays."""
    return (sys.executable, "-c", f"import signal; print({SAYS.get(role)!r}, flush=True); signal.pause()")


def dying(settings, role, folder):
    return (sys.executable, "-c", "import sys; sys.exit('SR-AGENT-REFUSAL: not released')")


def prepared(folder, settings=SETTINGS):
    return prepare(folder, settings, b"a certificate", {programs.JAR: b"a jar", programs.PAGES_JAR: b"another"})


def test_what_is_prepared_is_private_and_keeps_its_ports(tmp_path):
    first, second = prepared(tmp_path / "c"), prepared(tmp_path / "c")
    assert first == second
    assert first.record.settings.port > 0
    assert stat.S_IMODE((tmp_path / "c").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "c/java/bin/java").stat().st_mode) == 0o700
    assert {role for role in programs.ROLES if first.program(role).is_file()} == set(programs.ROLES)
    assert not first.runs


def test_up_and_down_may_be_done_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(programs, "launch", daemon)
    cluster = running.up(prepared(tmp_path / "c"))
    try:
        assert cluster.runs
        assert running.up(Cluster.of(tmp_path / "c")).record == cluster.record
        assert main(["spark", "cluster", "status", "--dir", str(tmp_path / "c")]) == 0
        assert "master: runs as process" in capsys.readouterr().out
        cluster.roll_call.add("executor", "3", "app-1", "host-b", code="SR-AGENT-REFUSAL")
        assert main(["spark", "cluster", "status", "--json", "--dir", str(tmp_path / "c")]) == 3
        assert '"code": "SR-AGENT-REFUSAL"' in capsys.readouterr().out
        with pytest.raises(OtherSettings) as refusal:
            prepared(tmp_path / "c", Settings(**{**vars_of(SETTINGS), "job": "other"}))
        assert refusal.value.code == "SR-SPARK-CLUSTER-RUNS"
    finally:
        assert main(["spark", "cluster", "down", "--dir", str(tmp_path / "c")]) == 0
    assert not (tmp_path / "c").exists()
    assert not any(map(detached.alive, cluster.record.processes))
    assert main(["spark", "cluster", "down", "--dir", str(tmp_path / "c")]) == 0


def test_a_host_that_joins_starts_workers_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(programs, "launch", daemon)
    joining = Settings(**{**vars_of(SETTINGS), "host": "127.0.0.2", "join": "spark://127.0.0.1:7077", "workers": 2})
    cluster = running.up(prepared(tmp_path / "c", joining))
    try:
        assert cluster.runs
        assert [each.role for each in cluster.record.processes] == ["worker-1", "worker-2"]
        assert not cluster.program(programs.MASTER).exists()
        assert main(["spark", "cluster", "status", "--dir", str(tmp_path / "c")]) == 0
        assert capsys.readouterr().out.startswith("spark://127.0.0.1:7077, job demo")
    finally:
        assert main(["spark", "cluster", "down", "--dir", str(tmp_path / "c")]) == 0


def test_an_address_of_another_machine_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(NoSuchAddress) as refusal:
        prepared(tmp_path / "c", Settings(**{**vars_of(SETTINGS), "host": "192.0.2.1"}))
    assert refusal.value.code == "SR-SPARK-CLUSTER-ADDRESS"
    assert not (tmp_path / "c").exists()


def test_the_masters_page_is_where_nobody_else_listens(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        asked = iter([taken, taken])
        monkeypatch.setattr(Settings, "page_port", property(lambda _: next(asked, 0)))  # 0: any free one
        assert prepared(tmp_path / "c", SETTINGS).record.settings.ui_port
        assert next(asked, None) is None
        monkeypatch.setattr(Settings, "page_port", property(lambda _: taken))
        with pytest.raises(NoSuchAddress, match="for the Master's page that are free") as refusal:
            prepared(tmp_path / "d", SETTINGS)
        assert "--ui-port" in refusal.value.fix
        assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    "words",
    [["--host", "0.0.0.0"], ["--host", "a b"], ["--join", "local[2]"], ["--join", "x"]],  # noqa: S104
)
def test_addresses_that_name_no_machine_are_misuse(words, capsys):
    known = ["--job", "demo", "--broker", "https://b:1", "--broker-ca", "ca.pem"]
    assert main(["spark", "cluster", "up", *known, *words]) == 1
    assert repr(words[1]) in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="PySpark is not installed")
@pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java on this machine")
def test_what_a_cluster_is_asked_for_is_in_the_words_that_are_measured(tmp_path, capsys):
    (tmp_path / "ca.pem").write_text("a certificate")
    asked = ["--job", "demo", "--key", "people", "--key", "pay", "--tenant", "hospital", "--deployment", "north",
             "--broker", "https://b:1", "--broker-ca", str(tmp_path / "ca.pem"), "--workers", "3", "--cores", "2",
             "--memory-mib", "2048", "--port", "7177", "--ui-port", "7180"]  # fmt: skip
    assert main(["spark", "cluster", "up", "--dir", str(tmp_path / "c"), *asked, "--prepare", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["master"], said["ui"]) == ("spark://127.0.0.1:7177", "https://127.0.0.1:7580")
    assert said["ui_token"] == str(tmp_path / "c/launches/master/page.token")
    with zipfile.ZipFile(tmp_path / "c" / programs.PAGES_JAR) as jar:
        assert "strongroom/submit/Login.class" in jar.namelist()
    words = {role: tomllib.loads(Path(path).read_text())["loader"]["argv"] for role, path in said["programs"].items()}
    for each in words.values():
        assert {"--broker=https://b:1", "--tenant=hospital", "--deployment=north"} <= set(each)
    assert {"--key=people", "--key=pay", "--max-heap-mib=2048"} <= set(words["executor"])
    assert " --port 7177 --webui-port 7180" in " ".join(words["master"])
    assert " --cores 2 --memory 2048M " in " ".join(words["worker"])
    assert Cluster.of(tmp_path / "c").record.settings.daemons == 4


def vars_of(settings):
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


def test_a_cluster_with_an_ended_process_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "launch", daemon)
    cluster = running.up(prepared(tmp_path / "c"))
    detached.stop(cluster.record.processes[1:])
    assert main(["spark", "cluster", "status", "--dir", str(tmp_path / "c")]) == 4
    running.down(tmp_path / "c")


def test_a_refused_master_is_said_with_its_last_words_and_leaves_nothing_running(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "launch", dying)
    with pytest.raises(ClusterNotUp) as failure:
        running.up(prepared(tmp_path / "c"))
    assert failure.value.code == "SR-SPARK-CLUSTER"
    assert "SR-AGENT-REFUSAL: not released" in failure.value.sentence
    assert not Cluster.of(tmp_path / "c").alive


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "mine").write_text("something")
    with pytest.raises(NotACluster) as refusal:
        prepared(tmp_path)
    assert refusal.value.code == "SR-SPARK-CLUSTER-FOLDER"
    with pytest.raises(NoSparkCluster) as none:
        running.down(tmp_path)
    assert none.value.code == "SR-SPARK-NO-CLUSTER"
    assert (tmp_path / "mine").read_text() == "something"


def test_java_is_where_java_home_says_or_on_the_path(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(JavaNotFound) as refusal:
        find_java(lambda _: None)
    assert refusal.value.code == "SR-SPARK-JAVA"
    monkeypatch.delenv("JAVA_HOME")
    (tmp_path / "java").write_text("")
    assert find_java(lambda _: str(tmp_path / "java")) == str(tmp_path / "java")
