"""The roll call: who came, who was refused, and when a job ends for it."""

from __future__ import annotations

import contextlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.analytics.agent.roll_call import Arrival, BadRollCall, ExecutorsRefused, RollCall, Watch, check
from strongroom.errors import StrongroomError


@pytest.fixture
def roll_call(tmp_path):
    return RollCall(tmp_path / "roll_call.jsonl")


def test_who_came_is_read_from_where_reading_stopped(roll_call):
    roll_call.add("executor", "0", "app-1", "host-a", seconds=0.12345)
    first, since = roll_call.read()
    roll_call.add("executor", "1", "app-1", "host-b", code="SR-AGENT-REFUSAL", sentence="no")
    second, _ = roll_call.read(since)
    assert [(each.name, each.admitted, each.seconds) for each in first] == [("0", True, 0.1235)]
    assert [(each.name, each.admitted, each.host) for each in second] == [("1", False, "host-b")]
    assert str(second[0]) == "executor 1 of app-1 on host-b was refused (SR-AGENT-REFUSAL)"


def test_a_line_that_is_still_being_written_waits(roll_call):
    roll_call.add("executor", "0", "app-1", "host-a")
    with roll_call.path.open("ab") as file:
        file.write(b'{"half')
    arrivals, since = roll_call.read()
    assert len(arrivals) == 1
    assert roll_call.read(since) == ([], since)


def test_no_roll_call_is_nobody(roll_call):
    assert roll_call.read() == ([], 0)


@pytest.mark.parametrize("line", [b"{}", b"[]", b"\xff", b'{"time": 1}'], ids=str)
def test_other_lines_are_refused(line, roll_call):
    roll_call.path.write_bytes(line + b"\n")
    with pytest.raises(BadRollCall) as refusal:
        roll_call.read()
    assert refusal.value.code == "SR-SPARK-ROLL-CALL"


@given(st.binary(max_size=400))
def test_a_line_is_an_arrival_or_refused(line):
    with contextlib.suppress(StrongroomError):
        Arrival.parse(line)


def test_an_07_a_job_with_refused_executors_ends_and_says_which(roll_call):
    heard = threading.Event()
    with Watch(roll_call, lambda _: heard.set(), limit=2) as watch:
        roll_call.add("executor", "4", "app-1", "host-b", code="SR-AGENT-REFUSAL")
        roll_call.add("executor", "5", "app-1", "host-b", code="SR-AGENT-REFUSAL")
        assert heard.wait(30)
    assert watch.refusal.code == "SR-SPARK-EXECUTORS"
    assert "executor 4 on host-b (SR-AGENT-REFUSAL), executor 5 on host-b" in watch.refusal.sentence


def test_refusals_of_earlier_jobs_end_nothing(roll_call):
    roll_call.add("executor", "0", "app-0", "host-a", code="SR-AGENT-REFUSAL")
    with Watch(roll_call, lambda _: None, limit=1) as watch:
        pass
    assert watch.refusal is None
    with pytest.raises(ExecutorsRefused):
        check(roll_call.read()[0])
