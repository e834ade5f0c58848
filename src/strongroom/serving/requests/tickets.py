"""What a caller holds while its request waits: callbacks and tickets, because a future or task a request is too dear.

Everything here belongs to the event loop. A reply is called exactly once, or never once its ticket was cancelled.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable
from itertools import count
from typing import Final, Protocol, TypeVar

from strongroom.errors import StrongroomError
from strongroom.serving.status import TooSlow

Value = TypeVar("Value")
_COMPACT_FROM: Final = 64  # entries; fewer are not worth a pass
_log: Final = logging.getLogger(__name__)


class Ticket(Protocol):
    """A request that was accepted."""

    def cancel(self) -> None:
        """Do not run it if it has not begun; its callback is not called any more. Harmless when all is over."""


class Expiring(Protocol):
    """What a deadline can end."""

    @property
    def over(self) -> bool:
        """Whether it was answered or cancelled."""

    def expire(self, problem: TooSlow) -> None:
        """Answer with `problem`."""


class Deadlines:
    """One timer of the loop for any number of requests: a heap, whose finished entries go when they outnumber the rest.

    `loop.call_later` for each request would cost as much as a tiny request itself.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, float, Expiring]] = []
        self._numbers = count()  # entries of equal time do not compare tickets
        self._timer: asyncio.TimerHandle | None = None
        self._compact_at = _COMPACT_FROM

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, loop: asyncio.AbstractEventLoop, deadline: float, request: Expiring) -> None:
        """End `request` at `deadline`, a `loop.time()`, unless it is over by then. Raises TooSlow if that is past."""
        now = loop.time()
        if deadline <= now:
            raise TooSlow("the deadline passed before the request could begin")
        heapq.heappush(self._heap, (deadline, next(self._numbers), deadline - now, request))
        if len(self._heap) >= self._compact_at:
            self._compact()
        if self._timer is None or deadline < self._timer.when():
            self._arm(loop, deadline)

    def _compact(self) -> None:
        self._heap = [entry for entry in self._heap if not entry[3].over]
        heapq.heapify(self._heap)
        self._compact_at = max(_COMPACT_FROM, 2 * len(self._heap))

    def _arm(self, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(deadline, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._heap and (self._heap[0][3].over or self._heap[0][0] <= now):
            _, _, waited_s, request = heapq.heappop(self._heap)
            if not request.over:
                request.expire(TooSlow(f"the model did not answer within {waited_s:.3g} s"))
        if self._heap:
            self._arm(loop, self._heap[0][0])


def tell(callback: Callable[[Value], None], value: Value) -> None:
    """Call back; a defect of the one who asked is logged, so that others get their answers."""
    try:
        callback(value)
    except Exception:  # noqa: BLE001  # whatever it is: the loop and the other requests go on
        _log.exception("a request's callback failed in an unforeseen way")


async def awaited(begin: Callable[[Callable[[Value | StrongroomError], None]], Ticket]) -> Value:
    """Begin something that calls back, and wait for it: the awaitable twin. Cancelling the wait cancels the ticket."""
    answer: asyncio.Future[Value] = asyncio.get_running_loop().create_future()

    def settle(outcome: Value | StrongroomError) -> None:
        if isinstance(outcome, StrongroomError):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    ticket = begin(settle)
    try:
        return await answer
    finally:
        ticket.cancel()
