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
