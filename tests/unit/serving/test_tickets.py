"""Deadlines without a timer each, and the awaitable twin of a callback."""

import asyncio

import pytest

from strongroom.serving.requests.tickets import Deadlines, awaited, tell
from strongroom.serving.status import BadRequest, TooSlow


class Request:
    def __init__(self):
        self.over, self.problem, self.ended = False, None, asyncio.Event()

    def expire(self, problem):
        self.over, self.problem = True, problem
        self.ended.set()

    def cancel(self):
        self.over = True


def test_what_is_not_over_ends_at_its_deadline_and_nothing_else_does():
    async def story():
        loop, deadlines = asyncio.get_running_loop(), Deadlines()
        late, soon, answered, last = Request(), Request(), Request(), Request()
        deadlines.add(loop, loop.time() + 60, late)
        deadlines.add(loop, loop.time() + 0.003, last)
        deadlines.add(loop, loop.time() + 0.002, answered)
        deadlines.add(loop, loop.time() + 0.001, soon)
        answered.over = True
        await soon.ended.wait()
        assert soon.problem.code == "SR-SERVE-DEADLINE"
        await last.ended.wait()
        assert len(deadlines) == 1
        assert (late.problem, answered.problem) == (None, None)

    asyncio.run(story())


def test_a_deadline_that_has_passed_is_refused_at_once():
    async def story():
        loop = asyncio.get_running_loop()
        with pytest.raises(TooSlow):
            Deadlines().add(loop, loop.time() - 1, Request())

    asyncio.run(story())


def test_sv_12_requests_that_are_over_do_not_pile_up_until_their_deadlines():
    async def story():
        loop, deadlines = asyncio.get_running_loop(), Deadlines()
        for _ in range(10_000):
            request = Request()
            deadlines.add(loop, loop.time() + 1000, request)
            request.over = True
        assert len(deadlines) < 200

    asyncio.run(story())


def test_waiting_returns_or_raises_what_was_replied():
    async def story():
        def begin(outcome):
            def go(reply):
                asyncio.get_running_loop().call_soon(reply, outcome)
                return Request()

            return go

        assert await awaited(begin(3)) == 3
        with pytest.raises(BadRequest):
            await awaited(begin(BadRequest("no")))

    asyncio.run(story())


def test_a_wait_that_is_cancelled_cancels_its_ticket():
    async def story():
        request = Request()
        waiting = asyncio.create_task(awaited(lambda _: request))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert request.over

    asyncio.run(story())


def test_a_defect_of_a_callback_stays_with_it(caplog):
    tell(lambda value: 1 / value, 0)
    assert "ZeroDivisionError" in caplog.text
