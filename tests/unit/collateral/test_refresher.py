"""The thread that renews: woken by the test, never by time."""

import queue
import threading
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.collateral import LiveSource, Refresher
from strongroom.collateral.file_source import FileSource
from strongroom.collateral.freshness import Freshness
from strongroom.collateral.refresher import MAX_WAIT_S, MIN_WAIT_S

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Waker:
    """Stands in for waiting: tells how long the thread wants to sleep, and lets the test end the sleep."""

    def __init__(self) -> None:
        self.asked: queue.Queue[float] = queue.Queue()
        self.wakes: queue.Queue[bool] = queue.Queue()

    def __call__(self, seconds: float) -> bool:
        self.asked.put(seconds)
        return self.wakes.get()

    def wake(self) -> float:
        """Wake the thread, and return how long it wants to sleep next."""
        self.wakes.put(False)
        return self.asked.get()


class Due:
    """Says when it is due, as the test likes; or fails."""

    def __init__(self, *answers) -> None:
        self._answers = list(answers)

    def refresh(self):
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def run():
    """Return a function that starts a refresher and yields its waker; all are stopped at the end."""
    started: list[tuple[Refresher, Waker]] = []

    def start(source, clock=lambda: NOW) -> Waker:
        waker = Waker()
        refresher = Refresher(source, clock=clock, wait=waker)
        refresher.__enter__()
        started.append((refresher, waker))
        assert waker.asked.get() == MIN_WAIT_S
        return waker

    yield start
    for refresher, waker in started:
        waker.wakes.put(True)
        refresher.stop()


def test_it_sleeps_until_something_is_due_within_bounds(run):
    waker = run(Due(NOW + timedelta(seconds=90), NOW - timedelta(days=1), NOW + timedelta(days=9), None))
    assert [waker.wake() for _ in range(4)] == [90.0, MIN_WAIT_S, MAX_WAIT_S, MAX_WAIT_S]


def test_a_defect_does_not_end_it_and_is_logged(run, caplog):
    waker = run(Due(ZeroDivisionError("a defect"), NOW + timedelta(seconds=5)))
    assert waker.wake() == MAX_WAIT_S
    assert waker.wake() == 5.0
    assert "a defect" in caplog.text


def test_tcb_14_collateral_is_renewed_before_anybody_asks(run, publish, world_anchor, world_quote, clock):
    source = LiveSource([FileSource(publish())], anchors=[world_anchor], rules=Freshness(max_age=timedelta(days=40)),
                        clock=clock)  # fmt: skip
    before = source.collateral_for(world_quote)
    waker = run(source, clock)
    assert waker.wake() == MAX_WAIT_S
    clock.turn(days=15.5)
    publish(at=clock(), number=18)
    waker.wake()
    assert source.collateral_for(world_quote) != before


def test_fb_16_it_stops_though_a_server_does_not_answer():
    asked, answers = threading.Event(), threading.Event()

    class Hanging:
        def refresh(self):
            asked.set()
            answers.wait()

    with Refresher(Hanging(), clock=lambda: NOW, wait=lambda _: answers.is_set(), patience_s=0.01) as refresher:
        asked.wait()
    assert refresher._thread.is_alive(), "it is left behind"
    answers.set()
    refresher._thread.join()


def test_it_stops_when_it_is_told_without_waiting_for_what_is_due():
    with Refresher(Due(None), clock=lambda: NOW):
        pass
    assert not any(thread.name == "collateral-refresher" for thread in threading.enumerate())
