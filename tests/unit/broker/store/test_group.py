"""Turns at the store: who runs what, how many may wait, and what an end does to those that wait."""

import threading

import pytest

from strongroom.broker.store import group
from strongroom.broker.store.errors import StoreBusy, StoreUnavailable
from strongroom.broker.store.group import GroupWriter


@pytest.fixture
def batches():
    return []


@pytest.fixture
def writer(batches):
    def run(tasks):
        batches.append((threading.current_thread().name, len(tasks)))
        for task in tasks:
            task.result = task.operation(None)

    made = GroupWriter(run, name="the writer")
    yield made
    made.close()


def held(writer):
    """Hold the turn until the returned event is set."""
    begun, go_on = threading.Event(), threading.Event()

    def holds(_):
        begun.set()
        go_on.wait(60)

    thread = threading.Thread(target=writer.write, args=(holds,))
    thread.start()
    assert begun.wait(60)
    return thread, go_on


def test_a_lone_caller_runs_its_own_operation(writer, batches):
    assert writer.write(lambda _: 5) == 5
    assert batches == [(threading.current_thread().name, 1)]


def test_those_who_wait_share_the_next_batch(writer, batches):
    holder, go_on = held(writer)
    futures = [writer.submit(lambda _, number=number: number) for number in range(9)]
    go_on.set()
    assert [future.result(60) for future in futures] == list(range(9))
    holder.join(60)
    assert sum(count for _, count in batches) == 10
    assert len(batches) <= 3


def test_a_batch_has_a_limit(writer, batches, monkeypatch):
    monkeypatch.setattr(group, "MAX_BATCH", 4)
    holder, go_on = held(writer)
    futures = [writer.submit(lambda _: None) for _ in range(11)]
    go_on.set()
    assert [future.result(60) for future in futures] == [None] * 11
    holder.join(60)
    assert max(count for _, count in batches) == 4


def test_more_than_fits_into_memory_is_refused_at_once(writer, monkeypatch):
    monkeypatch.setattr(group, "MAX_WAITING", 3)
    holder, go_on = held(writer)
    futures = []
    with pytest.raises(StoreBusy) as refusal:
        futures.extend(writer.submit(lambda _: None) for _ in range(5))  # the thread may have taken one already
    assert refusal.value.code == "SR-STORE-BUSY"
    assert len(futures) in (3, 4)
    go_on.set()
    holder.join(60)
    assert [future.result(60) for future in futures] == [None] * len(futures)


def test_a_cancelled_future_stops_nobody(writer):
    holder, go_on = held(writer)
    cancelled, kept = writer.submit(lambda _: 1), writer.submit(lambda _: 2)
    cancelled.cancel()
    go_on.set()
    assert kept.result(60) == 2
    holder.join(60)


def test_a_runner_that_breaks_leaves_nobody_waiting():
    def run(tasks):
        raise SystemExit

    writer = GroupWriter(run, name="breaks")
    with pytest.raises(SystemExit):
        writer.write(lambda _: None)
    with pytest.raises(StoreUnavailable):
        writer.submit(lambda _: None).result(60)
    with pytest.raises(StoreUnavailable):
        writer.submit(lambda _: None).result(60)
    writer.close()
