"""The folder of a queue on this machine: made once, used again, and nobody else's."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from strongroom.cli.queue_up import NoModel, _config
from strongroom.clusterserving.access import Role
from strongroom.clusterserving.config import QueueConfig
from strongroom.ports import free_port
from strongroom.streaming.link.connection import Place
from strongroom.streaming.link.queue import Queue
from strongroom.streaming.link.server import BadRedisPath, Home, NoRedisServer, RedisNotStarted, RedisServer
from strongroom.streaming.local.layout import NotAQueueFolder, open_layout
from strongroom.streaming.local.parts import AlreadyRuns, check_free, end, ended, is_ready, started

NOW = datetime.now(UTC)


@pytest.fixture
def layout(tmp_path):
    return open_layout(tmp_path / "q", QueueConfig(job_name="mine", model_path="/m"), now=NOW)


def test_each_role_gets_a_configuration_with_its_own_user(layout):
    for name in ("worker", "frontend", "client", "probe", "admin"):
        config, warnings = QueueConfig.parse(layout.config(name).read_bytes())
        assert warnings == ()
        assert (config.redis_user, config.redis_tls, config.job_name) == (f"cs-{name}", True, "mine")
        assert Path(config.redis_password_file).stat().st_mode & 0o077 == 0


def test_the_folder_is_used_again_with_its_ports_and_passwords(layout):
    password = Path(layout.home.place(Role.CLIENT).password_file).read_text()
    again = open_layout(layout.folder, QueueConfig(job_name="mine", model_path="/other"), now=NOW)
    assert (again.home.port, again.front_port) == (layout.home.port, layout.front_port)
    assert Path(again.home.place(Role.CLIENT).password_file).read_text() == password
    assert QueueConfig.parse(again.config("worker").read_bytes())[0].model_path == "/other"


def test_another_port_and_memory_are_taken_at_the_next_start(layout):
    other = free_port("127.0.0.1")
    config = QueueConfig(job_name="mine", model_path="/m", redis_max_memory=777_000_000)
    again = open_layout(layout.folder, config, now=NOW, redis_port=other)
    assert QueueConfig.parse(again.config("client").read_bytes())[0].redis_port == other
    lines = (layout.home.folder / "redis.conf").read_text().splitlines()
    assert {f"tls-port {other}", "maxmemory 777000000", "port 0", "maxmemory-policy noeviction"} <= set(lines)
    with RedisServer(again.home):
        assert again.home.place(Role.CLIENT).port == other
    assert open_layout(layout.folder, config, now=NOW).home.port == other


def test_a_part_that_ended_speaks_with_its_own_words(tmp_path):
    log = tmp_path / "log"
    old = "strongroom: bad input: something older\n  what to do: Nothing.\n  [SR-FILE]\n"
    log.write_text(old)
    assert "something older" not in ended("workers ended with -9", log, len(old)).sentence
    log.write_text(
        f"{old}a line\nstrongroom: bad input: no model\n  what to do: Give one.\n  [SR-QUEUE-MODEL-FOLDER]\n"
    )
    told = ended("workers ended with 2", log, len(old))
    assert (told.sentence, told.fix, told.code) == (
        "workers ended with 2: no model [SR-QUEUE-MODEL-FOLDER]", "Give one.", "SR-QUEUE-PART",
    )  # fmt: skip
    log.write_text(f"strongroom: unreachable: {told.sentence}\n  what to do: {told.fix}\n  [SR-QUEUE-PART]\n")
    assert (ended("the queue did not start", log).sentence, ended("x", log).fix) == (told.sentence, "Give one.")
    assert ended("Redis ended", tmp_path / "none").sentence == "Redis ended: "


def test_records_stay_when_the_queue_is_started_again(layout):
    for count in (1, 2):
        with RedisServer(layout.home), Queue(layout.home.place("worker"), layout.home.job) as worker:
            worker.make_group()
            with Queue(layout.home.place("client"), layout.home.job) as client:
                client.admit({"uri": "u", "data": "x"})
                assert client.backlog().records == count


def test_certificates_that_end_soon_are_made_anew_and_are_believed(layout):
    later = NOW + timedelta(days=70)
    again = open_layout(layout.folder, QueueConfig(job_name="mine", model_path="/m"), now=later)
    paths = [again.front_certificate, again.home.folder / "tls" / "server.crt"]
    paths += [Path(again.home.place(role).cert_file) for role in Role]
    for path in paths:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        assert certificate.not_valid_after_utc > later + timedelta(days=30)
        assert path.with_suffix(".key").stat().st_mode & 0o077 == 0


def test_a_folder_of_something_else_is_left_alone(tmp_path, layout):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    with pytest.raises(NotAQueueFolder) as caught:
        open_layout(tmp_path / "full", QueueConfig(model_path="/m"), now=NOW)
    assert caught.value.code == "SR-QUEUE-FOLDER"
    with pytest.raises(NotAQueueFolder, match="mine"):
        open_layout(layout.folder, QueueConfig(job_name="yours", model_path="/m"), now=NOW)
    (layout.folder / "queue.json").write_text("[]")
    with pytest.raises(NotAQueueFolder):
        open_layout(layout.folder, QueueConfig(job_name="mine", model_path="/m"), now=NOW)


def test_a_folder_that_others_can_enter_is_refused(layout):
    layout.folder.chmod(0o755)
    with pytest.raises(Exception, match="other users"):
        open_layout(layout.folder, QueueConfig(job_name="mine", model_path="/m"), now=NOW)


def test_a_path_that_would_end_a_line_of_redis_conf_is_refused(tmp_path):
    with pytest.raises(BadRedisPath) as caught:
        Home.make(tmp_path / 'a"b', QueueConfig().job, now=NOW)
    assert caught.value.code == "SR-REDIS-PATH"


def test_without_the_program_one_sentence_says_what_to_install(layout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoRedisServer) as caught:
        RedisServer(layout.home)
    assert caught.value.code == "SR-REDIS-PROGRAM"


def test_a_redis_that_does_not_start_says_why(layout):
    conf = layout.home.folder / "redis.conf"
    conf.write_text(conf.read_text() + "no-such-word yes\n")
    with pytest.raises(RedisNotStarted, match="no-such-word") as caught:
        RedisServer(layout.home)
    assert caught.value.code == "SR-REDIS-START"


@pytest.mark.parametrize("note", [None, "junk", "[]", "{}", '{"pid": 1, "started": ""}', '{"pid": 1, "started": "5"}'])
def test_a_note_of_a_process_that_is_gone_or_another_ends_nobody(tmp_path, note):
    path = tmp_path / "running.json"
    if note is not None:
        path.write_text(note)
    assert not end(path)
    assert not is_ready(path, 1)


def test_a_process_is_known_by_its_start(tmp_path):
    assert started(os.getpid()) == started(os.getpid()) != ""
    assert started(2**22 + 1) == ""


def test_one_folder_is_run_once(tmp_path, layout):
    note = tmp_path / "running.json"
    note.write_text(json.dumps({"pid": os.getpid(), "started": started(os.getpid())}))
    with pytest.raises(AlreadyRuns) as caught:
        check_free(note)
    assert caught.value.code == "SR-QUEUE-RUNS"
    with RedisServer(layout.home), pytest.raises(RedisNotStarted):
        RedisServer(layout.home)


def test_what_is_to_run_has_to_be_named(tmp_path):
    import argparse

    with pytest.raises(NoModel) as caught:
        _config(argparse.Namespace(config=None, model=None, workers=1))
    assert caught.value.code == "SR-QUEUE-UP-MODEL"
    alone = _config(argparse.Namespace(config=None, model=None, workers=0))  # Redis for workers from elsewhere
    assert alone.model_path is None
    (tmp_path / "config.yaml").write_text("modelPath: models/m\nlabelsFile: labels.txt\n")
    config = _config(argparse.Namespace(config=tmp_path / "config.yaml", model=None, workers=1))
    assert config.model_path == str(tmp_path / "models" / "m")
    assert config.labels_file == str(tmp_path / "labels.txt")


def test_a_place_is_spelled_without_its_secrets():
    place = Place(host="h", tls=True, user="u", password_file="/p")
    assert place.spelled == "rediss://h:6379"
    assert Place(unix="/s").spelled == "unix:///s"
