"""A worker in a thread: it goes on between ticks, ticks count, failures come out, closing drains."""

import asyncio
import threading

import pytest

from strongroom.streaming.flink.working import WorkerThread


class Counting:
    """A worker that deals with a record whenever it is told to, and says how it ended."""

    def __init__(self):
        self.done = 0
        self.loop = asyncio.get_running_loop()
        self.fail = asyncio.get_running_loop().create_future()
        self.drained = False

    async def run(self, stop):
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({stopping, self.fail}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self.fail.done():
            self.fail.result()
        self.drained = True

    def take(self, count):
        """Deal with records, and return once that is so."""
        taken = threading.Event()

        def now():
            self.done += count
            taken.set()

        self.loop.call_soon_threadsafe(now)
        taken.wait()

    def break_down(self, problem):
        self.loop.call_soon_threadsafe(self.fail.set_exception, problem)


@pytest.fixture
def working():
    """Return a worker's thread and the worker; what a test leaves is closed."""
    made = []

    async def opening():
        made.append(Counting())
        return made[0]

    thread = WorkerThread(opening)
    thread.await_open()
    yield thread, made[0]
    thread.close()


def test_each_tick_tells_what_was_done_since_the_one_before(working):
    thread, worker = working
    assert thread.tick(0) == 0
    worker.take(3)
    worker.take(4)
    assert thread.tick(0) == 7
    assert thread.tick(0.01) == 0
    worker.take(1)
    assert thread.tick(0) == 1


def test_closing_drains_once(working):
    thread, worker = working
    thread.close()
    assert worker.drained
    assert not any(each.name == "queue worker" for each in threading.enumerate())
    thread.close()
    assert thread.tick(60) == 0  # at once: it has ended


def test_what_ends_the_worker_comes_out_of_the_tick_that_waits():
    async def opening():
        worker = Counting()
        worker.loop.call_later(0.01, worker.fail.set_exception, ZeroDivisionError("its end"))
        return worker

    thread = WorkerThread(opening)
    thread.await_open()
    with pytest.raises(ZeroDivisionError, match="its end"):
        thread.tick(60)
    thread.close()


def test_what_goes_wrong_while_draining_comes_out_of_closing():
    class Stubborn(Counting):
        async def run(self, stop):
            await super().run(stop)
            raise ZeroDivisionError("not drained")

    async def opening():
        return Stubborn()

    thread = WorkerThread(opening)
    thread.await_open()
    with pytest.raises(ZeroDivisionError, match="not drained"):
        thread.close()
    thread.close()


def test_what_goes_wrong_while_opening_comes_out_of_waiting_for_it():
    async def opening():
        raise ZeroDivisionError("no model")

    thread = WorkerThread(opening)
    with pytest.raises(ZeroDivisionError, match="no model"):
        thread.await_open()
    thread.close()


def test_a_worker_that_waits_for_its_key_can_be_closed():
    async def opening():
        await asyncio.Event().wait()

    thread = WorkerThread(opening)
    waiting = threading.Thread(target=thread.await_open)
    waiting.start()
    thread.close()
    waiting.join()
    assert thread.tick(60) == 0
