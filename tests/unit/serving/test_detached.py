"""Processes that outlive who started them: found again by number and start, ended with or without their children."""

import os
import select
import subprocess
import sys

import pytest

from strongroom.serving.operations import detached
from strongroom.serving.operations.detached import Started

PARENT = (
    "import subprocess, sys; child = subprocess.Popen(['sleep', '600']); print(child.pid, flush=True); child.wait()"
)
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); signal.pause()"


@pytest.fixture
def started(tmp_path):
    """Start programs in Python that are surely over at the end; wait for their first line."""
    running = []

    def start(program):
        output = tmp_path / f"{len(running)}.out"
        running.append(detached.start("x", [sys.executable, "-c", program], {}, output, folder=tmp_path))
        with output.open() as said:
            while not (line := said.readline()).endswith("\n"):
                assert detached.alive(running[-1])
        return running[-1], line

    yield start
    detached.stop(running, sessions=True)


def ended(pid):
    """Wait until a process has ended, whoever's it is."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 30)[0])
    finally:
        os.close(handle)


def test_the_process_table_tells_processes_apart():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        start = detached.started_at(child.pid)
        assert detached.alive(Started("x", child.pid, start))
        assert not detached.alive(Started("x", child.pid, start + 1))
    finally:
        child.stdin.close()
        child.wait(30)
    assert detached.started_at(child.pid) is None


def test_only_who_was_started_is_ended(started):
    process, _ = started("print(1, flush=True); import signal; signal.pause()")
    stranger = Started("y", os.getpid(), 1)  # this number is another process's by now
    gone = Started("z", 2**22 + 1, 1)
    assert detached.stop([process, stranger, gone]) == 1
    assert not detached.alive(process)
    assert detached.stop([process]) == 0


def test_what_a_process_leaves_of_its_session_ends_with_it_where_that_is_asked_for(started):
    process, line = started(PARENT)
    child = int(line)
    assert set(detached.members(process.pid)) == {process.pid, child}
    assert detached.stop([process]) == 1
    assert set(detached.members(process.pid)) == {child}
    other, line = started(PARENT)
    assert detached.stop([other], sessions=True) == 1
    assert ended(int(line))
    os.kill(child, 9)


def test_who_does_not_end_is_killed(started):
    process, _ = started(STUBBORN)
    assert detached.stop([process], timeout_s=0.01) == 1
    assert ended(process.pid)


def test_nothing_of_this_environment_is_handed_on_that_is_not_named(monkeypatch):
    monkeypatch.setenv("A_TOKEN", "x")
    monkeypatch.setenv("TZ", "UTC")
    assert "A_TOKEN" not in detached.kept_environment()
    assert detached.kept_environment()["TZ"] == "UTC"
    assert detached.kept_environment("A_TOKEN")["A_TOKEN"] == "x"
