"""A part of Flink in its pod: every port with TLS and certificates, sizes as given, files of its owner alone."""

import pytest
import yaml

from strongroom.cli import main
from strongroom.streaming.parts.flink import FlinkPart, FlinkSettings, configuration, prepare


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
