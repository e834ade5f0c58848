"""A part of Flink in its pod: every port with TLS and certificates, sizes as given, files of its owner alone."""

import pytest
import yaml

from strongroom.cli import main
from strongroom.streaming.parts.flink import FlinkPart, FlinkSettings, configuration, mebibytes, prepare, run


@pytest.fixture
def made(tmp_path):
    def make(part, **words):
        for name in ("run", "scratch", "home/conf"):
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "home/conf/log4j-console.properties").write_text("x=1\n")
        (tmp_path / "pw").write_text("abcdef7\n")
        (tmp_path / "pw").chmod(0o600)
        return FlinkSettings(
            part=part, keys=tmp_path / "keys", password_file=tmp_path / "pw", run=tmp_path / "run",
            scratch=tmp_path / "scratch", home=tmp_path / "home", python="/usr/bin/python3", **words,
        )  # fmt: skip

    return make


@pytest.mark.parametrize("part", ["jobmanager", "taskmanager"])
def test_dp_05_d13_every_port_wants_a_certificate(made, part):
    found = yaml.safe_load(configuration(made(part), "abcdef7", address="10.0.0.1"))
    assert found["security.ssl.internal.enabled"] == "true"
    assert found["security.ssl.protocol"] == "TLSv1.3"
    assert found["security.ssl.internal.keystore"].endswith("keys/keystore.pkcs12")
    if part == "jobmanager":
        assert found["security.ssl.rest.authentication-enabled"] == "true"
        assert found["jobmanager.rpc.address"] == "flink-jobmanager"
        assert found["blob.server.port"] == "6124"
    else:
        assert found["taskmanager.host"] == "10.0.0.1"
        assert found["taskmanager.rpc.port"] == "6125"


def test_sizes_of_a_task_manager_are_those_of_the_chart(made):
    settings = made("taskmanager", managed_size="4gb", task_heap_size="5gb", slots=16)
    found = yaml.safe_load(configuration(settings, "abcdef7", address="a"))
    assert found["taskmanager.memory.managed.size"] == "4gb"
    assert found["taskmanager.memory.task.heap.size"] == "5gb"
    assert found["taskmanager.numberOfTaskSlots"] == "16"


def test_sizes_that_are_named_add_up_to_the_whole(made):
    settings = made("taskmanager", managed_size="64mb", task_heap_size="1gb")
    found = yaml.safe_load(configuration(settings, "abcdef7", address="a"))
    assert found["taskmanager.memory.process.size"] == f"{64 + 1024 + 128 + 128 + 64 + 256 + 192}m"
    assert found["taskmanager.memory.network.min"] == found["taskmanager.memory.network.max"] == "64m"
    named = yaml.safe_load(configuration(made("jobmanager", process_size="700m"), "abcdef7", address="a"))
    assert named["jobmanager.memory.process.size"] == "700m"
    assert [mebibytes(each) for each in ("1k", "1025kb", "3m", "2g", "2gb")] == [1, 2, 3, 2048, 2048]


def test_flinks_script_runs_as_a_child_under_this_configuration(made, tmp_path):
    settings = made("jobmanager")
    script = tmp_path / "home/bin/jobmanager.sh"
    script.parent.mkdir()
    script.write_text(
        '#!/bin/sh\ntest "$1" = start-foreground && cp "$FLINK_CONF_DIR/config.yaml" "$FLINK_HOME/seen"; exit 7\n'
    )
    with pytest.raises(FlinkPart, match="does not start"):
        run(settings, prepare(settings))
    script.chmod(0o755)
    assert run(settings, prepare(settings)) == 7
    assert "jobmanager.rpc.address" in (tmp_path / "home/seen").read_text()


def test_the_configuration_is_its_owners_alone(made):
    folder = prepare(made("jobmanager"))
    assert (folder / "config.yaml").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "log4j-console.properties").exists()
    prepare(made("jobmanager"))  # a container that was started anew


def test_what_makes_no_sense_is_refused(made, tmp_path, capsys):
    for part, words in (("spark", {}), ("taskmanager", {"managed_size": "lots"})):
        with pytest.raises(FlinkPart) as refused:
            made(part, **words)
        assert refused.value.code == "SR-FLINK-PART"
    made("jobmanager")
    words = ["flink", "part", "jobmanager", "--keys", str(tmp_path), "--password-file", str(tmp_path / "pw"),
             "--run", str(tmp_path / "run"), "--scratch", str(tmp_path / "scratch"),
             "--home", str(tmp_path)]  # fmt: skip
    assert main(words) == 2
    assert "SR-FLINK-PART" in capsys.readouterr().err
