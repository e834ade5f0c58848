"""Turns: alone at once, among others in order and soon, and never so many that the loop waits."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from strongroom.broker import turns
from strongroom.broker.turns import Turns

LIMIT_S = 30


def test_what_comes_alone_is_done_at_once() -> None:
    async def story() -> list[str]:
        done: list[str] = []
        Turns(asyncio.get_running_loop()).add(lambda: done.append("first"))
        return done

    assert asyncio.run(story()) == ["first"]


def test_what_comes_among_others_is_done_soon_and_in_order() -> None:
    async def story() -> tuple[list[int], list[int]]:
        done: list[int] = []
        mine = Turns(asyncio.get_running_loop())
        for number in range(4):
            mine.add(lambda number=number: done.append(number))  # type: ignore[misc]  # mypy and a default's lambda
        at_first, ended = list(done), asyncio.Event()
        mine.add(ended.set)
        await asyncio.wait_for(ended.wait(), LIMIT_S)
        return at_first, done

    assert asyncio.run(story()) == ([0], [0, 1, 2, 3])


def test_the_loop_runs_between_many() -> None:
    async def story() -> list[int]:
        seen: list[int] = []
        done: list[int] = []
        loop = asyncio.get_running_loop()
        mine = Turns(loop)
        for number in range(3 * turns.MOST_AT_ONCE + 1):
            mine.add(lambda number=number: done.append(number))  # type: ignore[misc]  # as above

        def look() -> None:
            seen.append(len(done))
            if len(done) <= 3 * turns.MOST_AT_ONCE:
                loop.call_soon(look)

        loop.call_soon(look)
        ended = asyncio.Event()
        mine.add(ended.set)
        await asyncio.wait_for(ended.wait(), LIMIT_S)
        assert done == list(range(3 * turns.MOST_AT_ONCE + 1))
        return seen

    steps = [after - before for before, after in pairwise(asyncio.run(story()))]
    assert max(steps) <= turns.MOST_AT_ONCE
