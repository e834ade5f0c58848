"""A job whose executors are refused is ended, whatever its driver is doing, and says which they were."""

from __future__ import annotations

import subprocess
import sys

import pytest

from strongroom.analytics.agent.roll_call import ExecutorsRefused, RollCall
from strongroom.analytics.submit import watching
from strongroom.analytics.submit.watching import watched

REFUSED = {"code": "SR-AGENT-REFUSAL", "sentence": "nothing was released"}
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
PATIENT = "import signal; print(flush=True); signal.pause()"


def refuse_three(roll_call, process):
    with watched(str(roll_call.path)) as driver:
        driver.started(process)
        for name in "345":
            roll_call.add("executor", name, "app-1", "host-b", **REFUSED)
        process.wait(60)


@pytest.mark.parametrize(("program", "status"), [(PATIENT, -15), (STUBBORN, -9)], ids=["patient", "stubborn"])
def test_an_07_a_driver_is_ended_when_executors_are_refused(program, status, tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "GRACE_S", 0.2)
    roll_call = RollCall(tmp_path / "roll")
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(ExecutorsRefused) as refusal:
            refuse_three(roll_call, process)
        assert process.returncode == status
    assert "executor 3 on host-b" in refusal.value.sentence


def test_a_driver_that_starts_after_the_refusal_is_ended_as_well():
    driver = watching.Driver()
    driver.end(ExecutorsRefused("refused: executor 0"))
    with subprocess.Popen([sys.executable, "-c", PATIENT], stdout=subprocess.DEVNULL) as process:
        driver.started(process)
        assert process.wait(60) == -15


def test_without_a_roll_call_nobody_watches():
    with watched(None) as driver:
        assert driver is not None


def test_who_came_while_a_job_ran_is_noted_for_its_report(tmp_path):
    roll_call, events = RollCall(tmp_path / "roll"), tmp_path / "events.jsonl"
    roll_call.add("executor", "0", "app-1", "host-a")
    with watched(str(roll_call.path), events):
        roll_call.add("executor", "1", "app-2", "host-b", seconds=0.5)
        roll_call.add("executor", "2", "app-2", "host-c", **REFUSED)
    noted, _ = RollCall(events).read()
    assert noted == roll_call.read()[0][1:]
    assert [(each.name, each.host, each.admitted) for each in noted] == [
        ("1", "host-b", True), ("2", "host-c", False),
    ]  # fmt: skip


def test_a_roll_call_that_is_none_at_the_end_of_a_job_is_said_and_the_job_is_over(tmp_path, capsys):
    path = tmp_path / "roll"
    with watched(str(path), tmp_path / "events.jsonl"):
        path.write_text("nothing of ours\n")
    assert "roll call: " in capsys.readouterr().err
