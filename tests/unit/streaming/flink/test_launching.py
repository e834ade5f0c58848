"""A worker launched beside Flink: it is waited for, ended with SIGTERM, and never left; without one, no keys."""

import os
import select
import signal
import subprocess
import sys

import pytest

from strongroom.cli import main
from strongroom.clusterserving.config import QueueConfig
from strongroom.streaming.flink import launching
from strongroom.streaming.flink.launching import (
    BadLaunch,
    LaunchedEnded,
    LaunchedWorker,
    Unproven,
    check_proven,
    words_of,
)
from strongroom.streaming.flink.looking import deepest_cause

DRAINS = """
import signal, sys, time
def end(*_):
    sys.stderr.write("drained\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("consumer one", flush=True)
while True:
    time.sleep(60)
"""


def launched(program):
    return LaunchedWorker([sys.executable, "-c", program])


def test_it_is_waited_for_and_ended_so_that_it_drains(caplog):
    worker = launched(DRAINS)
    worker.await_open()
    assert worker.tick(0.01) == 0
    worker.close()
    assert "drained" in caplog.text
    worker.close()
    assert worker.tick(60) == 0


def test_one_that_ends_by_itself_says_why():
    worker = launched("import sys; print('consumer one', flush=True); sys.exit('no Redis')")
    with pytest.raises(LaunchedEnded, match="status 1: no Redis") as ended:
        worker.tick(60)
    assert ended.value.code == "SR-FLINK-WORKER-ENDED"
    worker.close()


def test_one_that_never_opens_says_why():
    worker = launched("import sys; sys.exit('no key was released')")
    with pytest.raises(LaunchedEnded, match="no key was released"):
        worker.await_open()


def test_a_command_that_does_not_exist_says_so(tmp_path):
    worker = LaunchedWorker([str(tmp_path / "nothing")])
    with pytest.raises(LaunchedEnded, match="does not start: No such file"):
        worker.await_open()


def test_one_that_waits_for_its_key_can_be_closed():
    worker = launched("import time; time.sleep(600)")
    worker.close()
    assert worker.tick(60) == 0


def test_one_that_does_not_drain_is_killed(monkeypatch):
    monkeypatch.setattr(launching, "DRAIN_S", 0.1)
    worker = launched(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('consumer', flush=True)\n"
        "time.sleep(600)"
    )
    worker.await_open()
    worker.close()
    assert worker.tick(60) == 0


def test_it_ends_when_the_process_that_launched_it_is_killed():
    program = (
        "import sys, time\nfrom strongroom.streaming.flink.launching import LaunchedWorker\n"
        "worker = LaunchedWorker([sys.executable, '-c', 'import os, time; print(os.getpid(), flush=True); "
        "time.sleep(600)'])\nworker.await_open()\nprint(worker._process.pid, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        handle = os.pidfd_open(child)
        try:
            os.kill(parent.pid, signal.SIGKILL)
            assert select.select([handle], [], [], 60)[0]
        finally:
            os.close(handle)


@pytest.mark.parametrize("launch", ["", "  ", "'", "x" * 5000, "a\0b"])
def test_what_is_no_command_is_refused(launch):
    with pytest.raises(BadLaunch) as bad:
        words_of(launch)
    assert bad.value.code == "SR-FLINK-LAUNCH"


def test_words_are_split_as_a_shell_does_and_strongroom_is_this_one():
    assert words_of("gramine-sgx 'a worker'") == ["gramine-sgx", "a worker"]
    assert words_of("strongroom sim run x") == [sys.executable, "-m", "strongroom", "sim", "run", "x"]


CONFIG = b"modelPath: /m\nbroker: https://localhost:1\nbrokerCaFile: /ca\nownerKeyFile: /o\n"


def test_an_06_plain_task_managers_ask_no_broker_for_keys(tmp_path, capsys):
    config, _ = QueueConfig.parse(CONFIG)
    with pytest.raises(Unproven) as refused:
        check_proven(config, None)
    assert refused.value.code == "SR-FLINK-UNPROVEN"
    check_proven(config, None, "gramine-sgx streaming-worker")
    check_proven(config, object())
    check_proven(QueueConfig.parse(b"modelPath: /m\n")[0], None)
    (tmp_path / "config.yaml").write_bytes(CONFIG)
    assert main(["queue", "flink", "-c", str(tmp_path / "config.yaml"), "--dir", str(tmp_path)]) == 3
    assert "SR-FLINK-UNPROVEN" in capsys.readouterr().err


PYTHON_TRACE = """java.lang.RuntimeException: Failed to close remote bundle
\tat org.apache.flink.x(Y.java:1)
Caused by: java.lang.RuntimeException: Error received from SDK harness for 1: Traceback (most recent call last):
  File "sdk_worker.py", line 1, in f
    raise problem
strongroom.streaming.flink.launching.LaunchedEnded: the worker ended with status 3: no key

\tat org.apache.beam.x(Y.java:2)
"""


def test_why_a_job_failed_is_one_line_of_its_trace():
    assert deepest_cause(PYTHON_TRACE).endswith("LaunchedEnded: the worker ended with status 3: no key")
    assert deepest_cause("a.B: c\n\tat x\nCaused by: d.E: f\n\tat y\n") == "d.E: f"
    assert deepest_cause("a.B: c\n\tat x\n") is not None
    assert deepest_cause("") is None
