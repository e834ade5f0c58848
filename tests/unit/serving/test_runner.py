"""A model's runner: order, errors, what was given up, what is too much, and its end."""

import asyncio
import threading
import time

import numpy as np
import pytest

from strongroom.serving.batching import ModelRunner
from strongroom.serving.batching.jobs import Room
from strongroom.serving.batching.thread import MAX_AHEAD_BYTES
from strongroom.serving.status import BadRequest, EngineFailed, Overloaded


def submitted(worker, signature, inputs=None, outputs=()):
    """Return a future of a run; cancelling the future cancels the ticket."""
    answer = asyncio.get_running_loop().create_future()

    def done(outcome):
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    ticket = worker.submit(signature, inputs or {}, outputs, done)
    answer.add_done_callback(lambda _: ticket.cancel())
    return answer


class ScriptedEngine:
    """Runs what a test hands in as the signature, and can be held up."""

    signatures = {}  # noqa: RUF012  # not used

    def __init__(self):
        self.entered, self.free = threading.Event(), threading.Event()
        self.ran, self.closed = [], False
        self.thread = None

    def run(self, signature, inputs, outputs):
        self.thread = threading.current_thread()
        self.ran.append(signature)
        if signature == "hold":
            self.entered.set()
            assert self.free.wait(30)
        if signature == "bad request":
            raise BadRequest("no")
        if signature == "defect":
            raise ZeroDivisionError
        return {name: len(self.ran) for name in outputs}

    def close(self):
        self.closed = True


def test_runs_keep_their_order_and_stay_off_the_loop():
    async def story():
        engine = ScriptedEngine()
        worker = ModelRunner(engine, name="m")
        answers = [submitted(worker, str(number), {}, ["y"]) for number in range(20)]
        assert [answer["y"] for answer in await asyncio.gather(*answers)] == list(range(1, 21))
        assert engine.thread is not threading.current_thread()
        await worker.close()
        assert engine.closed

    asyncio.run(story())


def test_errors_reach_the_one_who_asked_and_the_thread_lives_on(caplog):
    async def story():
        worker = ModelRunner(ScriptedEngine(), name="m")
        with pytest.raises(BadRequest):
            await submitted(worker, "bad request", {}, [])
        with pytest.raises(EngineFailed, match="ZeroDivisionError"):
            await submitted(worker, "defect", {}, [])
        assert await submitted(worker, "fine", {}, ["y"]) == {"y": 3}
        await worker.close()

    asyncio.run(story())
    assert "unforeseen" in caplog.text


def test_what_was_given_up_is_not_run():
    async def story():
        engine = ScriptedEngine()
        worker = ModelRunner(engine, name="m")
        holding = submitted(worker, "hold")
        answers = []
        given_up = worker.submit("given up", {}, [], answers.append)
        after = submitted(worker, "after", {}, ["y"])
        assert await asyncio.to_thread(engine.entered.wait, 30)
        given_up.cancel()
        given_up.cancel()
        engine.free.set()
        await asyncio.gather(holding, after)
        assert engine.ran == ["hold", "after"]
        await worker.close()
        assert answers == []

    asyncio.run(story())


def test_the_loop_goes_on_while_the_engine_is_busy():
    async def story():
        engine = ScriptedEngine()
        worker = ModelRunner(engine, name="m")
        holding = submitted(worker, "hold", {}, [])
        assert await asyncio.to_thread(engine.entered.wait, 30)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not holding.done()
        engine.free.set()
        await holding
        await worker.close()

    asyncio.run(story())


def test_too_many_waiting_requests_are_refused_and_room_comes_back():
    async def story():
        engine = ScriptedEngine()
        worker = ModelRunner(engine, name="m", room=Room(requests=2))
        first = submitted(worker, "hold", {}, [])
        second = submitted(worker, "next", {}, [])
        with pytest.raises(Overloaded) as caught:
            submitted(worker, "too many", {}, [])
        assert caught.value.code == "SR-SERVE-BUSY"
        engine.free.set()
        await asyncio.gather(first, second)
        await submitted(worker, "again", {}, [])
        await worker.close()

    asyncio.run(story())


def test_sv_17_closing_finishes_what_was_accepted():
    async def story():
        engine = ScriptedEngine()
        worker = ModelRunner(engine, name="m")
        answers = [submitted(worker, word, {}, ["y"]) for word in ("hold", "a", "b")]
        closing = asyncio.create_task(worker.close())
        await asyncio.sleep(0)
        assert not closing.done()
        engine.free.set()
        assert [answer["y"] for answer in await asyncio.gather(*answers)] == [1, 2, 3]
        await closing

    asyncio.run(story())


def test_nothing_is_taken_after_closing():
    async def story():
        worker = ModelRunner(ScriptedEngine(), name="m")
        await worker.close()
        with pytest.raises(Overloaded, match="unloaded"):
            worker.submit("late", {}, [], print)

    asyncio.run(story())


def test_what_waits_is_bounded_in_bytes_too():
    async def story():
        engine = ScriptedEngine()
        worker = ModelRunner(engine, name="m", room=Room(input_bytes=100))
        large = {"x": np.zeros(1000, np.float32)}
        first = submitted(worker, "hold", large)  # one request is always taken
        with pytest.raises(Overloaded, match="with 4000 bytes"):
            worker.submit("too much", large, [], print)
        engine.free.set()
        await first
        await worker.close()

    asyncio.run(story())


def test_sv_12_an_engine_does_not_run_far_ahead_of_the_loop():
    class Large(ScriptedEngine):
        def run(self, signature, inputs, outputs):
            super().run(signature, inputs, outputs)
            return {"y": np.empty(MAX_AHEAD_BYTES // 2, np.uint8)}

    async def story():
        engine = Large()
        worker = ModelRunner(engine, name="m")
        answers = [submitted(worker, "run", {}, ["y"]) for _ in range(12)]
        while len(engine.ran) < 2:  # the loop is busy, and fetches nothing
            pass
        ends = time.monotonic() + 0.5
        while time.monotonic() < ends:
            pass
        assert 2 <= len(engine.ran) <= 3  # what has room, and one that waits for it
        assert len(await asyncio.gather(*answers)) == 12
        await worker.close()

    asyncio.run(story())
