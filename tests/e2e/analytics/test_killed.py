"""A job whose processes are killed without warning: nothing of it runs on, and what stays goes with the next one."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.analytics.session.folder import SessionFolder

PROGRAM = """
import os, signal, sys
from pyspark.sql import SparkSession
context = SparkSession.builder.getOrCreate().sparkContext
print(os.getpid(), context._gateway.proc.pid, os.environ["STRONGROOM_AGENT"],
      context.getConf().get("spark.strongroom.folder"), flush=True)
def wait(_):
    with open(sys.argv[1], "w") as meeting:
        meeting.write(f"{os.getpid()} {os.getppid()}")
    signal.pause()
context.parallelize([0], 1).map(wait).count()
"""
LIMIT_S = 120


def ended(handles):
    """Whether processes have all ended by themselves."""
    waiting = set(handles)
    while waiting:
        found = select.select(waiting, [], [], LIMIT_S)[0]
        if not found:
            return False
        waiting -= set(found)
    return True


@pytest.mark.full
@pytest.mark.parametrize("killed", ["supervisor", "driver", "java"])
def test_nothing_runs_on_and_the_next_job_clears_up(killed, primary_keys, tmp_path, lean_java):
    pytest.importorskip("pyspark")
    (tmp_path / "app.py").write_text(PROGRAM.replace("sys.argv[1]", repr(str(tmp_path / "meeting"))))
    os.mkfifo(tmp_path / "meeting")
    words = [sys.executable, "-m", "strongroom", "spark", "submit", "--master", "local[1]", "--driver-memory", "512m",
             "--driver-java-options", lean_java, "--no-ui", "--keys", f"file:{primary_keys}", "--key", "people",
             str(tmp_path / "app.py")]  # fmt: skip
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as job:
        driver, java, agent, folder = job.stdout.readline().split()
        worker, daemon = (tmp_path / "meeting").read_text().split()
        numbers = {"supervisor": job.pid, "driver": int(driver), "java": int(java)}
        others = [*numbers.values(), int(worker), int(daemon)]
        handles = [os.pidfd_open(each) for each in others]
        try:
            signal.pidfd_send_signal(handles[list(numbers).index(killed)], signal.SIGKILL)
            assert ended(handles), [each for each in others if Path(f"/proc/{each}").exists()]
        finally:
            for each in handles:
                os.close(each)
        _, complaint = job.communicate(timeout=LIMIT_S)
    assert job.returncode == {"supervisor": -9, "driver": 137, "java": 1}[killed], complaint
    left = [each for each in (Path(folder), Path(agent).parent) if each.exists()]
    assert killed == "supervisor" or not left  # of a killed supervisor's, other tests' jobs may have cleared up by now
    SessionFolder.create().remove()  # the next job's
    assert not [each for each in left if each.exists()]
