"""Which requests are asked again, how often and when: never more than is safe, and never a storm.

A request that no server has begun is always safe to repeat. One whose fate is unknown, because its connection broke,
is repeated only where the caller said so: predictions change nothing on a server, so it costs work and nothing else.
The names are those of gRPC's retry design (proposal A6): attempts, exponential backoff with jitter, a budget.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from strongroom.errors import BadInput, StrongroomError

T = TypeVar("T")
MAX_ATTEMPTS: Final = 100
_JITTER: Final = 0.5  # a pause is between half of its length and all of it


class BadRetries(BadInput):
    """The numbers that say how often a client asks again make no sense."""

    code = "SR-CLIENT-RETRIES"
    fix = "Give --retries a number from 0 to 99, and pauses, budget and refill that are not negative."


class Fate(StrEnum):
    """What became of a request that was not answered."""

    NOT_BEGUN = "not begun"  # no server has seen it, or one said that it did not begin
    UNKNOWN = "unknown"  # it was sent, and the connection or the server went away
    FINAL = "final"  # the server answered, or the time is over: asking again is the caller's affair


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How a client repeats requests. Raises BadRetries.

    attempts: how often a request is tried in all; 1 repeats nothing.
    unknown: repeat also requests that a server may have run.
    first_pause_s, longest_pause_s: the pause after the first failure, doubled with each further one.
    budget: so many repetitions at once, all requests of a client together; each answer gives `refill` of one back.
    """

    attempts: int = 5
    unknown: bool = False
    first_pause_s: float = 0.05
    longest_pause_s: float = 2.0
    budget: int = 100
    refill: float = 0.2

    def __post_init__(self) -> None:
        numbers = (self.first_pause_s, self.longest_pause_s, self.refill)
        if not 1 <= self.attempts <= MAX_ATTEMPTS or self.budget < 0 or not all(0 <= each < 1e6 for each in numbers):
            raise BadRetries(f"{self} is no way to ask again")

    @classmethod
    def of(cls, wanted: Retries | int | None) -> Retries:
        """Return what a caller means: a number repeats that often whatever its fate, None what was not begun."""
        if isinstance(wanted, int):
            return cls(attempts=wanted + 1, unknown=True)
        return wanted or cls()

    def allows(self, fate: Fate, attempt: int) -> bool:
        """Whether a request may be tried once more after `attempt` tries, the last one of this fate."""
        if fate is Fate.FINAL or attempt >= self.attempts:
            return False
        return fate is Fate.NOT_BEGUN or self.unknown

    def pause_s(self, attempt: int, chance: float) -> float:
        """Return how long to wait after `attempt` tries; `chance` from 0 to 1 spreads clients that failed together."""
        whole = min(self.longest_pause_s, self.first_pause_s * 2.0 ** (attempt - 1))
        return whole * (1 - _JITTER * chance)


class Budget:
    """Bounds repetitions over all requests of a client, so that a server in trouble is not asked twice as much."""

    def __init__(self, retries: Retries) -> None:
        self._most, self._refill = float(retries.budget), retries.refill
        self._left = self._most
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one repetition; False where none is left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def refill(self) -> None:
        """Note an answer."""
        with self._lock:
            self._left = min(self._most, self._left + self._refill)


class NotAnswered(Exception):
    """One try failed. `meaning` finds out what to tell the caller, if this was the last one."""

    def __init__(self, fate: Fate, meaning: Callable[[], StrongroomError]) -> None:
        super().__init__(fate)
        self.fate, self.meaning = fate, meaning


class Retrier:
    """Runs tries of requests; one for all threads of a client."""

    def __init__(self, retries: Retries) -> None:
        self.retries, self._budget = retries, Budget(retries)

    def run(self, once: Callable[[float], T], timeout_s: float) -> T:
        """Return what `once(seconds left)` returns, trying again where that is safe and before the time is over.

        Raises what the last NotAnswered means, and whatever else `once` raises.
        """
        ends, attempt = time.monotonic() + timeout_s, 0
        while True:
            attempt += 1
            try:
                answer = once(max(0.001, ends - time.monotonic()))
            except NotAnswered as failure:
                pause_s = self.pause_after(failure.fate, attempt, ends - time.monotonic())
                if pause_s is None:
                    raise failure.meaning() from None
                time.sleep(pause_s)
            else:
                self._budget.refill()
                return answer

    def pause_after(self, fate: Fate, attempt: int, left_s: float) -> float | None:
        """Return how long to wait before the next try; None where there is none."""
        if not self.retries.allows(fate, attempt):
            return None
        pause_s = self.retries.pause_s(attempt, random.random())  # noqa: S311  # spreads load, keeps no secret
        return pause_s if pause_s < left_s and self._budget.take() else None

    def answered(self) -> None:
        """Note an answer of a caller that runs its tries itself."""
        self._budget.refill()


_NOT_BEGUN: Final = (
    "failed to connect to all addresses",  # gRPC: no connection, so no request
    "connections to all backends failing",
    "the server is stopping",  # our own server's word while it drains
)


def fate_of_grpc(status: str, text: str) -> Fate:
    """Return what became of a call that ended with a gRPC status of this name and these details."""
    if status != "UNAVAILABLE" or "CERTIFICATE_VERIFY_FAILED" in text:
        return Fate.FINAL
    return Fate.NOT_BEGUN if text.startswith(_NOT_BEGUN) else Fate.UNKNOWN
