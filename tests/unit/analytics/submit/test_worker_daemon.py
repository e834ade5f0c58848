"""PySpark's daemon of workers: silent where nobody listens any more, and in nothing else."""

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import types

import pytest

from strongroom.analytics.session.notices import quiet_planner, quieted
from strongroom.analytics.session.surroundings import LOOKED_THROUGH
from strongroom.sparkjobs.properties import WORKER_DAEMON

OTHER_PYTHON = struct.pack(">ii", 0, 3) + b"2.7"  # which a worker complains of to the JVM
VERSION = b"%d.%d" % sys.version_info[:2]
# Its version of Python, a folder without includes, no broadcasts, no settings, and the end of the stream.
LOOKING = struct.pack(">i4si1si?iii", 4, VERSION, 1, b"/", 0, False, 0, 0, -4)


@pytest.mark.parametrize("problem", [BrokenPipeError, ConnectionResetError, ValueError], ids=lambda each: each.__name__)
def test_only_who_has_hung_up_is_not_spoken_of(problem):
    def fail():
        raise problem

    said = []
    tell = quieted(said.append)
    tell("before")
    try:
        fail()
    except problem:
        tell("failed")
    tell("after")
    assert said == (["before", "failed", "after"] if problem is ValueError else ["before", "after"])


def complaints(module, folder, worker="pyspark.worker", work=OTHER_PYTHON, **variables):
    """Return what a daemon says of a JVM that asks for a worker, gives it work, and hangs up."""
    own = {"PYTHON_UNIX_DOMAIN_ENABLED": "true", "PYTHON_WORKER_FACTORY_SOCK_DIR": str(folder)}
    environ = os.environ | own | variables
    words = [sys.executable, "-m", module, worker]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=environ, stdin=pipe, stdout=pipe, stderr=pipe) as daemon:
        (length,) = struct.unpack(">i", daemon.stdout.read(4))
        with socket.socket(socket.AF_UNIX) as jvm:
            jvm.connect(daemon.stdout.read(length).decode())
            (worker,) = struct.unpack(">i", jvm.recv(4, socket.MSG_WAITALL))
            handle = os.pidfd_open(worker)
            signal.pidfd_send_signal(handle, signal.SIGSTOP)  # so that it does not answer before nobody listens
            jvm.sendall(work)
        signal.pidfd_send_signal(handle, signal.SIGCONT)
        ended(handle)
        return daemon.communicate(timeout=60)[1].decode()


def ended(handle):
    """Wait until a process has ended."""
    try:
        assert select.select([handle], [], [], 60)[0]
    finally:
        os.close(handle)


def test_a_jvm_that_has_hung_up_is_no_trace_on_the_terminal():
    pytest.importorskip("pyspark")
    with tempfile.TemporaryDirectory() as folder:  # tmp_path of a parallel run is too long for a socket's name
        assert "BrokenPipeError" in complaints("pyspark.daemon", folder)
        assert "BrokenPipeError" not in complaints(WORKER_DAEMON, folder)


def test_neither_is_one_where_spark_looks_for_data_sources():
    pytest.importorskip("pyspark")
    work = "pyspark.sql.worker.lookup_data_sources", LOOKING
    with tempfile.TemporaryDirectory() as folder:
        assert "BrokenPipeError" in complaints("pyspark.daemon", folder, *work)
        assert complaints("pyspark.daemon", folder, *work, PYTHONPATH=str(LOOKED_THROUGH)) == ""


@pytest.mark.parametrize("name", ["pyspark.daemon", "program"])
def test_only_spark_s_own_daemon_is_quieted_where_a_query_is_planned(monkeypatch, name):
    main = types.ModuleType("__main__")
    main.__spec__ = types.SimpleNamespace(name=name)
    monkeypatch.setitem(sys.modules, "__main__", main)
    quiet_planner()
    assert hasattr(main, "traceback") is (name == "pyspark.daemon")
