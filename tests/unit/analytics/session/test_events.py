"""Events of a job: one line each, no keys, and nothing that they meet ends the job."""

import json
import stat
import threading

from strongroom.analytics.session import events
from strongroom.analytics.session.events import EVENTS_VARIABLE, MAX_LINE_BYTES, EventKind, record


def lines(path):
    return [json.loads(each) for each in path.read_text().splitlines()]


def test_without_a_named_file_nothing_is_written(monkeypatch):
    monkeypatch.delenv(EVENTS_VARIABLE, raising=False)
    assert not record(EventKind.ENDED, {"status": 0})


def test_a_job_s_events_are_lines_that_only_its_user_reads(tmp_path, monkeypatch, manifest):
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv(EVENTS_VARIABLE, str(path))
    assert events.job_started(application="sums", program="a.py", digest="00" * 32, master="local[2]", keys=["people"])
    assert events.data_set_read(manifest(files=3), "/data/people")
    assert events.data_set_written(manifest("old", 4), "/data/old")
    assert events.job_ended(status=3)
    assert [each["event"] for each in lines(path)] == ["started", "read", "written", "ended"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    read = lines(path)[1]
    assert (read["name"], read["files"], read["bytes"], read["path"]) == ("people", 3, 300, "/data/people")


def test_a_named_file_comes_before_the_environment_s(tmp_path, monkeypatch):
    monkeypatch.setenv(EVENTS_VARIABLE, str(tmp_path / "others.jsonl"))
    path = tmp_path / "events.jsonl"
    assert events.job_started(application="sums", program="a.py", digest="", master="local[2]", to=path)
    assert events.job_ended(status=0, to=path)
    assert [each["event"] for each in lines(path)] == ["started", "ended"]
    assert not (tmp_path / "others.jsonl").exists()


def test_an_event_tells_of_a_data_set_what_its_folder_tells_everybody(tmp_path, manifest, keys):
    found = manifest()
    record(EventKind.READ, events._data_set(found, "p"), to=tmp_path / "e.jsonl")
    with keys.unwrap(found.key_id, found.wrapped_data_key).reveal() as raw:
        assert raw.hex() not in (tmp_path / "e.jsonl").read_text()
    assert found.wrapped_data_key in found.to_bytes().decode()


def test_what_is_no_json_too_long_or_nowhere_to_write_is_left_out(tmp_path):
    path = tmp_path / "events.jsonl"
    assert not record("key", {"object": object()}, to=path)
    assert not record("key", {"much": "x" * MAX_LINE_BYTES}, to=path)
    assert not record("key", {"nan": float("nan")}, to=path)
    assert not record("key", {}, to=tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert not record("key", {}, to=tmp_path / "link")
    assert not path.exists()
    assert not (tmp_path / "elsewhere").exists()


def test_lines_of_many_threads_do_not_mix(tmp_path):
    path = tmp_path / "events.jsonl"
    writers = [
        threading.Thread(target=lambda: [record("key", {"key_id": "k" * 500}, to=path) for _ in range(50)])
        for _ in range(8)
    ]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert len(lines(path)) == 400
