"""A cluster's programs: what is measured of them, and what stands where a Worker looks for Java."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest

from strongroom.analytics.cluster import programs
from strongroom.analytics.cluster.settings import BadClusterRecord, Record, Settings, Started
from strongroom.gramine import manifest
from strongroom.launcher.launch import read_words

LIMIT_S = 60
SETTINGS = Settings(
    broker="https://broker:8080", job="demo", keys=("people", "cities"), port=7077, ui_port=8080, world="/sim/world",
    python="/py/bin/python", package="/py/strongroom", java="/java/bin/java", home="/py/pyspark",
)  # fmt: skip


@pytest.mark.parametrize("role", programs.ROLES)
def test_a_manifest_measures_broker_job_and_code_and_nothing_of_where_the_cluster_lies(role):
    found = manifest.parse(programs.manifest(SETTINGS, role, "/cluster/java"))
    assert found.argv == programs.words(SETTINGS, role)
    assert "--broker=https://broker:8080" in found.argv
    assert "--job=demo" in found.argv
    assert {each.path for each in found.trusted_files} >= {"/py/strongroom/", "/py/pyspark/jars/", "../../ca.pem"}
    assert found.remote_attestation == "dcap"
    assert not [word for word in found.argv if "/cluster" in word]


def test_executors_alone_are_given_primary_keys():
    asking = {role: [w for w in programs.words(SETTINGS, role) if w.startswith("--key=")] for role in programs.ROLES}
    assert asking == {"master": [], "worker": [], "executor": ["--key=people", "--key=cities"]}


@pytest.mark.parametrize("role", [programs.MASTER, programs.WORKER])
def test_an_09_daemons_speak_to_those_alone_who_know_the_secret_which_is_in_no_word(role):
    words = programs.words(SETTINGS, role)
    assert "-Dspark.authenticate=true" in words
    assert "-Dspark.network.crypto.enabled=true" in words
    assert "-Dspark.network.crypto.saslFallback=false" in words
    assert not [word for word in words if "authenticate.secret" in word]


@pytest.mark.parametrize("role", [programs.MASTER, programs.WORKER])
def test_an_09_a_daemons_pages_want_a_token_by_code_that_is_measured(role):
    words = programs.words(SETTINGS, role)
    assert "-Dspark.ui.filters=strongroom.submit.Login" in words
    assert "-Dspark.strongroom.folder={MEMORY}" in words  # where the agent keeps the token
    assert words[words.index("-cp") + 1] == "/py/pyspark/jars/*:../../pages.jar"
    found = manifest.parse(programs.manifest(SETTINGS, role, "/cluster/java"))
    assert "../../pages.jar" in {each.path for each in found.trusted_files}


@pytest.mark.parametrize("role", [programs.MASTER, programs.WORKER])
def test_a_daemon_that_crashes_writes_no_memory_to_a_disk(role):
    assert {
        "-XX:ErrorFile={MEMORY}/java_error.log", "-XX:ReplayDataFile={MEMORY}/java_replay.log",
        "-XX:-CreateCoredumpOnCrash", "-XX:-HeapDumpOnOutOfMemoryError",
    } <= set(programs.words(SETTINGS, role))  # fmt: skip


def test_a_second_host_joins_the_masters_with_programs_of_its_own_address():
    second = replace(SETTINGS, host="10.0.0.2", join="spark://10.0.0.1:7077")
    assert programs.roles(second) == ("worker", "executor")
    assert programs.roles(SETTINGS) == ("master", "worker", "executor")
    words = programs.words(second, programs.WORKER)
    assert words[-1] == "spark://10.0.0.1:7077"
    assert words[words.index("--host") + 1] == "10.0.0.2"
    assert "--ui-host=10.0.0.2" in words
    assert programs.environment(second, programs.WORKER, "/j")["SPARK_LOCAL_IP"] == "10.0.0.2"
    assert (SETTINGS.daemons, second.daemons) == (3, 2)
    assert (replace(SETTINGS, host="10.0.0.1").master, second.master) == ("spark://10.0.0.1:7077",) * 2


def test_an_08_every_program_is_behind_an_agent_or_launches_as_one_that_is():
    for role in (programs.MASTER, programs.WORKER):
        assert {"spark", "agent"} <= set(programs.words(SETTINGS, role))
    assert "strongroom.analytics.agent.executor" in programs.words(SETTINGS, programs.EXECUTOR)
    assert programs.launch(SETTINGS, "worker", "/c/l/w")[:5] == ("/py/bin/python", "-m", "strongroom", "sim", "run")
    native = replace(SETTINGS, world="")
    assert programs.launch(native, "worker", "/c/l/w") == programs.words(native, "worker")


def test_in_javas_place_words_are_handed_over_and_the_workers_secret_goes_no_further(tmp_path):
    (tmp_path / "launches").mkdir()
    (tmp_path / "programs/executor").mkdir(parents=True)
    (tmp_path / "programs/executor/program.toml").write_text("# what is measured")
    seen = tmp_path / "seen"
    python = tmp_path / "python"  # in the place of `sim run`
    python.write_text(f'#!/bin/sh\n{{ echo "$@"; pwd; env; }} > {seen}\n')
    python.chmod(0o700)
    java = tmp_path / "java"
    java.write_text(programs.java_script(replace(SETTINGS, python=str(python)), str(tmp_path)))
    java.chmod(0o700)
    words = ["-cp", "a b'\"$(id)", "", "--executor-id", "0"]
    subprocess.run([java, *words], env={**os.environ, "_SPARK_AUTH_SECRET": "canary"}, check=True, timeout=LIMIT_S)
    (folder,) = (tmp_path / "launches").iterdir()
    assert read_words((folder / "words").read_bytes()) == tuple(words)
    assert (folder / "program.toml").read_text() == "# what is measured"
    said = seen.read_text()
    assert f"sim run {folder}/program.toml --world /sim/world" in said
    assert str(folder) in said.splitlines()
    assert "canary" not in said


def test_a_record_is_read_as_it_was_written():
    record = Record(settings=SETTINGS, processes=(Started(role="master", pid=7, start=9),))
    assert Record.parse(record.to_json()) == record


@pytest.mark.parametrize(
    "change",
    [b"", b"[]", b"{}", b'{"settings": {}, "processes": []}', b'{"settings": 1, "processes": 2}', b"\xff"],
    ids=["nothing", "list", "empty", "no settings", "numbers", "no text"],
)
def test_what_is_no_record_is_refused(change):
    with pytest.raises(BadClusterRecord) as refusal:
        Record.parse(change)
    assert refusal.value.code == "SR-SPARK-CLUSTER-RECORD"


def test_a_value_of_another_kind_is_refused():
    data = Record(settings=SETTINGS).to_json().replace(b'"port": 7077', b'"port": "7077"')
    with pytest.raises(BadClusterRecord):
        Record.parse(data)
