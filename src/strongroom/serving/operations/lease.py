"""A released key is a lease: this program proves itself again before it ends, and stops answering when it cannot.

Renewal asks the broker as the first release did, with fresh evidence. A refusal ends the lease at once; a broker that
is not reached ends it when its time is over. Without a lease the server is not ready and refuses requests (never a
wrong answer, threat SV-19); a later renewal brings it back. World: the broker, the loop's clock.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from strongroom.errors import Refused, StrongroomError, Unreachable
from strongroom.secret import Secret

RENEW_AT: Final = 1 / 3  # of the lease: two more tries fit before it ends
SHORTEST_PAUSE_S: Final = 0.2
_log: Final = logging.getLogger(__name__)


class LeaseLost(Unreachable):
    """The lease of the model's key has ended, so requests are not answered."""

    code = "SR-SERVE-LEASE"
    fix = "GET /readyz says why; the replica answers again when the broker renews the lease."


@dataclass(slots=True, kw_only=True)
class KeyLease:
    """The lease of one key, called `what`. `suspend` hears why no request may be answered, and None when they may."""

    ask: Callable[[], Awaitable[Secret]]
    seconds: float  # `ask` may change it: the broker says how long a lease is
    suspend: Callable[[LeaseLost | None], None]
    what: str = "key lease"
    elapsed_s: float = 0.0  # how much of it was over when `keep` was called
    _ends: float = 0.0
    _held: bool = True

    async def keep(self) -> None:
        """Renew until cancelled."""
        loop = asyncio.get_running_loop()
        self._ends = loop.time() + self.seconds - self.elapsed_s
        while True:
            await asyncio.sleep(self._pause(loop.time()))
            try:
                key = await self.ask()
            except StrongroomError as problem:
                self._failed(problem, loop.time())
            else:
                key.wipe()
                self._ends = loop.time() + self.seconds
                self._renewed()

    def _pause(self, now: float) -> float:
        """Return seconds to the next attempt: spread, sooner when the end is near, never after the end."""
        left = self._ends - now
        if not self._held or left <= 0:
            return max(SHORTEST_PAUSE_S, self.seconds * RENEW_AT / 4) * random.uniform(0.5, 1)  # noqa: S311  # spreads load
        return max(min(self.seconds * RENEW_AT * random.uniform(0.7, 1), left), SHORTEST_PAUSE_S)  # noqa: S311  # ditto

    def _failed(self, problem: StrongroomError, now: float) -> None:
        refused = isinstance(problem, Refused)
        if refused or now >= self._ends:
            why = "the broker refused to renew it" if refused else "the broker was not reached in time"
            if self._held:
                _log.error("%s lost: %s (%s)", self.what, why, problem.sentence)
            self._held = False
            self.suspend(LeaseLost(f"{self.what} lost: {why}"))
        else:
            _log.warning("%s not renewed yet: %s", self.what, problem.sentence)

    def _renewed(self) -> None:
        if not self._held:
            _log.info("%s renewed; requests are answered again", self.what)
        self._held = True
        self.suspend(None)
