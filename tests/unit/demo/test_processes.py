"""The demo's processes: waiting for what they say, and that none of them outlives the demo."""

import os
import select
import signal
import sys

import pytest

from strongroom.demo import processes
from strongroom.demo.processes import Child, Children, StepFailed, environment

SPEAK = "import sys, time; print('port 17', flush=True); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)
PARENT = (
    "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print('child', child.pid, flush=True); {rest}"
)


def has_ended(pid):
    """Return whether a process has ended or does soon: its descriptors close before it does."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 30)[0])
    finally:
        os.close(handle)


@pytest.fixture
def start(tmp_path):
    """Return a function that starts Python code as a child; every child ends with the test."""
    started = []

    def run(code):
        child = Child("it", [sys.executable, "-c", code], log=tmp_path / "log", cwd=tmp_path, environ=dict(os.environ))
        started.append(child)
        return child

    yield run
    for child in started:
        child.stop()


def test_a_child_is_waited_for_by_what_it_says(start, tmp_path):
    child = start(SPEAK)
    assert child.wait_for(r"port (\d+)").group(1) == "17"
    assert (tmp_path / "log").read_text() == "port 17\n"


def test_a_child_that_ends_early_is_a_failed_step_with_its_last_words(start):
    child = start("print('no model here'); raise SystemExit(2)")
    with pytest.raises(StepFailed, match="ended before it said 'ready'; last it said: no model here") as caught:
        child.wait_for("ready")
    assert caught.value.code == "SR-DEMO-STEP"
    assert child.wait() == 2


def test_a_child_that_never_says_it_is_a_failed_step_at_the_deadline(start):
    with pytest.raises(StepFailed, match="did not come that far in time"):
        start(SPEAK).wait_for("ready", timeout_s=0.3)


def test_a_child_that_runs_on_is_a_failed_step(start):
    with pytest.raises(StepFailed, match="still runs"):
        start(SPEAK).wait(timeout_s=0.1)


@pytest.mark.parametrize("code", [SPEAK, STUBBORN])
def test_stopping_ends_a_child_that_wants_to_and_one_that_does_not(start, code, monkeypatch):
    monkeypatch.setattr(processes, "STOP_TIMEOUT_S", 0.5)
    child = start(code)
    child.wait_for("port|deaf")
    child.stop()
    assert has_ended(child.pid)
    child.stop()


@pytest.mark.parametrize("rest", ["time.sleep(60)", "raise SystemExit(0)"], ids=["parent runs", "parent ended"])
def test_what_a_child_started_ends_with_it(start, rest, monkeypatch):
    monkeypatch.setattr(processes, "STOP_TIMEOUT_S", 0.5)
    child = start(PARENT.format(rest=rest))
    grandchild = int(child.wait_for(r"child (\d+)").group(1))
    if "Exit" in rest:
        child.wait()
    child.stop()
    assert has_ended(grandchild)


def test_leaving_the_block_ends_all_even_after_an_error(tmp_path):
    seen = []

    def story():
        with Children(tmp_path, environment(os.environ)) as children:
            for name in ("one", "two"):
                child = children.start(name, "bench", "--insecure", "-url", "localhost:1", "-cnum", "1", "-loop", "0")
                child.wait_for("query: ")
                seen.append(child.pid)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        story()
    assert [has_ended(pid) for pid in seen] == [True, True]


def test_a_command_reports_its_words_and_status(tmp_path):
    with Children(tmp_path, environment(os.environ)) as children:
        done = children.run("--version")
        assert (done.status, done.stdout.startswith("strongroom ")) == (0, True)
        assert children.run("nonsense").status == 1
        with pytest.raises(StepFailed, match="there is no command 'nonsense'"):
            children.must("nonsense")
        with pytest.raises(StepFailed, match="did not end within"):
            children.run("--help", timeout_s=0.001)


def test_a_child_leads_a_session_of_its_own_so_that_ctrl_c_reaches_the_demo_alone(start):
    child = start(SPEAK)
    child.wait_for("port")
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
    os.kill(child.pid, signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM


def test_children_inherit_little(monkeypatch):
    given = {"PATH": "/bin", "HOME": "/root", "AWS_SECRET_ACCESS_KEY": "x", "PYTHONSTARTUP": "y"}
    assert environment(given) == {"PATH": "/bin", "HOME": "/root", "PYTHONUNBUFFERED": "1", "GRPC_VERBOSITY": "NONE"}
