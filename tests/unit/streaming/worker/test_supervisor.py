"""A supervisor keeps its workers: small programs stand in their places."""

import asyncio
import os
import signal
import sys

import pytest

from strongroom.serving.operations.metrics_text import Cell, Family, Kind
from strongroom.streaming.worker.reports import Report, metrics_text, together
from strongroom.streaming.worker.supervisor import ChildPlace, Supervisor

READY = Report(ready=True, reason="ready", families=(Family("n_total", Kind.COUNTER, (Cell((), 2.0),)),))
WORKER = """
import os, signal, sys
from strongroom.streaming.worker.supervisor import ChildPlace
place = ChildPlace.of(os.environ)
os.write(place.pipe, sys.argv[1].encode() + b"\\n")
signal.sigwait({signal.SIGTERM})
"""
BLOCKED = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"


def supervised(program, *words, count=2):
    return Supervisor([sys.executable, "-c", program, *words], count, first_wait_s=0.01)


def worker():
    return supervised(BLOCKED + WORKER, READY.to_line().decode().strip())


async def until(condition):
    async with asyncio.timeout(60):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def test_workers_are_started_reported_and_ended():
    async def main():
        supervisor = worker()
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.report().ready)
        assert "n_total 4" in metrics_text(supervisor.report())
        supervisor.stop()
        assert await running == 0

    asyncio.run(main())


def test_one_that_is_killed_is_replaced_and_the_others_work_on():
    async def main():
        supervisor = worker()
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.report().ready)
        first = supervisor.pids
        os.kill(first[1], signal.SIGKILL)
        await until(lambda: supervisor.pids.get(1, first[1]) != first[1] and supervisor.report().ready)
        assert supervisor.pids[2] == first[2]
        supervisor.stop()
        assert await running == 0

    asyncio.run(main())


@pytest.mark.parametrize("status", [1, 2, 3])
def test_one_that_cannot_start_ends_all_with_its_status(status):
    async def main():
        assert await supervised(f"raise SystemExit({status})").run() == status

    asyncio.run(main())


def test_one_that_found_nobody_is_tried_again(tmp_path):
    program = f"import os, pathlib; pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch(); raise SystemExit(4)"

    async def main():
        supervisor = supervised(program, count=1)
        running = asyncio.create_task(supervisor.run())
        await until(lambda: len(list(tmp_path.iterdir())) >= 3)
        supervisor.stop()
        assert await running in {0, 4}

    asyncio.run(main())


def test_a_report_that_is_none_ends_the_listening_not_the_worker():
    async def main():
        supervisor = supervised(BLOCKED + WORKER, "no report", count=1)
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.pids)
        assert not supervisor.report().ready
        supervisor.stop()
        await running

    asyncio.run(main())


def test_several_are_ready_when_all_are():
    waiting = Report(ready=False, reason="loading the model")
    assert together([READY, waiting]) == Report(False, "worker 2: loading the model", READY.families)
    assert together([]).ready is False


def test_a_report_survives_its_line():
    assert Report.from_line(READY.to_line()) == READY


def test_a_place_is_a_number_and_a_pipe():
    assert ChildPlace.of({"STRONGROOM_QUEUE_WORKER": str(ChildPlace(3, 7))}) == ChildPlace(3, 7)
    assert ChildPlace.of({"STRONGROOM_QUEUE_WORKER": "x:7"}) is None
    assert ChildPlace.of({}) is None
