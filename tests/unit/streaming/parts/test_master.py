"""The master of a queue on Flink: hands the job over, hands it over again when it is gone or too small, and says so."""

import asyncio
import stat
import threading

import pytest

from strongroom.streaming.flink.rest import FlinkAway
from strongroom.streaming.parts.master import FILES, LATE_S, Master, MasterPart, client_folder, keep


class Flink:
    """A cluster with slots and jobs, as its REST API tells of it and as `queueing` changes it."""

    def __init__(self, slots=1):
        self.slots, self.running, self.away = slots, {}, False
        self.state, self.step, self.started, self.stopped = "RUNNING", "RUNNING", [], 0
        self.why = None

    def get(self, path):
        if self.away:
            raise FlinkAway("it does not answer")
        if path == "/overview":
            return {"slots-total": self.slots}
        job = path.split("/")[2]
        if path.endswith("/checkpoints"):
            return {"counts": {"completed": 3, "failed": 0}}
        if path.endswith("/exceptions"):
            return {"exceptionHistory": {"entries": [{"stacktrace": f"Caused by: {self.why}"}] if self.why else []}}
        return {"state": self.state, "vertices": [{"status": self.step, "parallelism": self.running[job]}]}

    def jobs(self):
        if self.away:
            raise FlinkAway("it does not answer")
        return list(self.running)

    def start(self, parallelism):
        self.started.append(parallelism)
        name = f"job{len(self.started)}"
        self.running[name] = parallelism
        return name

    def stop(self):
        self.stopped += 1
        ended = list(self.running)
        self.running.clear()
        return ended


@pytest.fixture
def flink():
    return Flink()


def test_the_job_is_handed_over_once_there_is_room_for_it(flink):
    flink.slots = 0
    master = Master(flink, flink, 1)
    master.look()
    assert not master.report().ready
    assert "waiting for task managers" in master.report().reason
    flink.slots = 1
    master.look()
    master.look()
    assert flink.started == [1]
    assert master.report().ready
    assert master.report().reason == "job job1 runs on 1 workers; 3 checkpoints were completed, 0 failed"


def test_a_job_that_fails_shows_in_the_readiness_with_the_reason(flink):
    master = Master(flink, flink, 1)
    master.look()
    flink.state, flink.step, flink.why = "RESTARTING", "FAILED", "the model is not there"
    master.look()
    assert not master.report().ready
    assert master.report().reason == "job job1 is RESTARTING: the model is not there"
    flink.state, flink.step = "RUNNING", "INITIALIZING"  # its workers open the model
    master.look()
    assert not master.report().ready
    flink.step = "RUNNING"
    master.look()
    assert master.report().ready
    assert flink.started == [1]  # Flink starts it anew, nobody else


def test_a_job_that_is_gone_is_handed_over_again(flink):
    told = []
    master = Master(flink, flink, 1, tell=told.append)
    master.look()
    flink.running.clear()  # a job manager that started anew
    master.look()
    assert flink.started == [1, 1]
    assert told.count("the job is handed over, for 1 workers") == 2


def test_a_job_that_runs_is_kept_by_a_master_that_starts_anew(flink):
    Master(flink, flink, 1).look()
    second = Master(flink, flink, 1)
    second.look()
    assert second.report().ready
    assert flink.started == [1]


def test_more_workers_are_wanted_once_there_are_slots_for_them(flink):
    Master(flink, flink, 1).look()
    master = Master(flink, flink, 2)
    master.look()
    assert (flink.stopped, flink.started) == (0, [1])  # it works on, on one
    flink.slots = 2
    master.look()
    assert (flink.stopped, flink.started) == (1, [1, 2])
    assert "runs on 2 workers" in master.report().reason


def test_what_was_seen_long_ago_is_no_readiness(flink):
    now = [0.0]
    master = Master(flink, flink, 1, clock=lambda: now[0])
    master.look()
    assert master.report().ready
    now[0] += LATE_S + 1
    assert not master.report().ready
    flink.away = True
    master.look()
    assert master.report().reason == "it does not answer"


def test_no_workers_and_no_keys_are_refused(flink, tmp_path):
    with pytest.raises(MasterPart) as refused:
        Master(flink, flink, 0)
    assert refused.value.code == "SR-FLINK-MASTER"
    with pytest.raises(MasterPart, match=r"holds no ca\.crt"):
        client_folder(tmp_path, tmp_path)


def test_the_clients_certificate_lies_where_flinks_client_takes_it_from(tmp_path):
    for source in FILES.values():
        (tmp_path / source).write_bytes(source.encode())
    folder = client_folder(tmp_path, tmp_path)
    assert {path.name: path.read_bytes().decode() for path in folder.iterdir()} == FILES
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_looking_ends_with_the_stop_and_waits_for_nobody():
    ended = threading.Event()
    looked = []

    async def both():
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def look():
            looked.append(1)
            loop.call_soon_threadsafe(stop.set)
            ended.wait(10)

        await keep(stop, look)

    asyncio.run(both())
    ended.set()
    assert looked == [1]
