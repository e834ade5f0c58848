"""Whether this machine's clock can be believed: leases, grace and revocation lists are worth what it is (threat SA-15).

World: the machine's two clocks. The host may set the wall clock; it cannot set the clock that counts since boot. The
guard keeps the difference of both as it was at the start, and lets it follow a slow correction only (one part in a
thousand, twice what a time service may slew). A step, a fast drift, a time before the ledger's last line or another
time than the store's stop every release. They go on by themselves once all agree again for a minute; a correction that
was right and large needs a restart of the broker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from strongroom.errors import Refused

KIND: Final = "clock"


class ClockUntrusted(Refused):
    """The machine's clock jumped, drifts, or is not the store's, so nothing is released."""

    code = "SR-CLOCK-UNTRUSTED"
    fix = "Set the clock right and keep it so with a time service; if the jump was the correction, restart the broker."


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockLimits:
    """What is believed: seconds, and for `drift` seconds for each second."""

    step_s: float = 5.0  # how far the wall clock may be from where it should be
    store_s: float = 30.0  # how far it may be from the store's: another machine's, and a waiting transaction's
    drift: float = 0.001
    settle_s: float = 60.0  # how long everything has to agree before releases go on


def utc_now() -> datetime:
    """Return the time by this machine's wall clock."""
    return datetime.now(UTC)


def since_boot() -> float:
    """Return seconds that nobody can set; they count while the machine sleeps, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockGuard:
    """Compares the clocks whenever somebody asks, at best every few seconds. Threads may share it.

    `not_before_ms`: a time that has certainly passed, such as that of the ledger's last line.
    """

    def __init__(
        self, clock: Callable[[], datetime] = utc_now, monotonic: Callable[[], float] = since_boot, *,
        not_before_ms: int = 0, limits: ClockLimits | None = None,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._monotonic = monotonic
        self._limits = limits or ClockLimits()
        self._not_before_s = not_before_ms / 1000
        self._lock = threading.Lock()
        self._seen_at = monotonic()
        self._offset = clock().timestamp() - self._seen_at  # of the wall clock, as it should be
        self._store_trouble: str | None = None
        self._trouble: str | None = None
        self._agreed_at: float | None = None  # the first of the comparisons that found nothing wrong
        self._news: list[dict[str, object]] = []

    def check(self, store_ms: int | None = None) -> datetime:
        """Return the wall clock's time if it can be believed. Raises ClockUntrusted.

        `store_ms`: the store's time (`tx.now_ms`), where one is at hand.
        """
        now, trouble = self._observe(store_ms)
        if trouble is not None:
            raise ClockUntrusted(trouble)
        return now

    def observe(self, store_ms: int | None = None) -> str | None:
        """Compare the clocks; return what is wrong with them, None if nothing is."""
        return self._observe(store_ms)[1]

    def plausible_ms(self, at_ms: int) -> int:
        """Return a time of this machine's wall clock, or, if it jumped, what the clock should say (milliseconds)."""
        with self._lock:
            expected = self._monotonic() + self._offset
        return at_ms if abs(at_ms / 1000 - expected) <= self._limits.step_s else int(expected * 1000)

    @property
    def news(self) -> tuple[dict[str, object], ...]:
        """The records that the ledger should get: one when the clock was lost, one when it is believed again."""
        with self._lock:
            return tuple(self._news)

    def told(self, count: int) -> None:
        """Forget the first `count` news: they stand in the ledger."""
        with self._lock:
            del self._news[:count]

    def _observe(self, store_ms: int | None) -> tuple[datetime, str | None]:
        with self._lock:
            now, at = self._clock(), self._monotonic()
            wall = now.timestamp()
            if store_ms is not None:
                self._store_trouble = self._beside(wall - store_ms / 1000)
            trouble = self._stepped(wall - at - self._offset, at) or self._before(wall) or self._store_trouble
            if trouble is not None:
                self._agreed_at = None
                if self._trouble is None:
                    self._news.append({"kind": KIND, "state": "untrusted", "problem": trouble})
                self._trouble = trouble
            elif self._trouble is not None and self._has_settled(at):
                self._news.append({"kind": KIND, "state": "trusted", "problem": None})
                self._trouble = None
            return now, self._trouble

    def _has_settled(self, at: float) -> bool:
        if self._agreed_at is None:
            self._agreed_at = at
        return at - self._agreed_at >= self._limits.settle_s

    def _stepped(self, off: float, at: float) -> str | None:
        """Judge how far the wall clock is from where it should be, and follow it as far as a slow correction goes."""
        follow = self._limits.drift * (at - self._seen_at)
        self._seen_at = at
        if abs(off) > self._limits.step_s:
            return f"the clock is {_ahead(off)} where it was, by the time since boot"
        self._offset += min(max(off, -follow), follow)
        return None

    def _before(self, wall: float) -> str | None:
        off = wall - self._not_before_s
        return None if off >= -self._limits.step_s else f"the clock is {_ahead(off)} the ledger's last line"

    def _beside(self, off: float) -> str | None:
        return None if abs(off) <= self._limits.store_s else f"the clock is {_ahead(off)} the store's"


def _ahead(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'}"
