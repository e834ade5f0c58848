"""Run `strongroom …` with a wall clock that another process moves: the seconds to add stand in a file.

    python tools/chaos/shifted_broker.py OFFSET_FILE broker serve …

Only what reads the broker's time is given the other clock (the service that decides, the guard, the store of one
machine); the product has no switch for it. Certificates, logs and the database go by the machine's own.
"""

from __future__ import annotations

import faulthandler
import functools
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from strongroom.broker import opening
from strongroom.broker import run as running
from strongroom.broker.clock import ClockGuard
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.service import ReleaseService
from strongroom.broker.store.opening import open_store
from strongroom.cli import main


def clock_of(path: Path) -> Callable[[], datetime]:
    """Return a clock that is ahead of this machine's by what the file says now; without the file, by nothing."""

    def clock() -> datetime:
        try:
            ahead = float(path.read_text(encoding="ascii") or 0)
        except (FileNotFoundError, ValueError):
            ahead = 0.0
        return datetime.now(UTC) + timedelta(seconds=ahead)

    return clock


def install(clock: Callable[[], datetime]) -> None:
    """Give this process's broker the clock."""
    guard = Ledger.clock_guard

    def clock_guard(self: Ledger) -> ClockGuard:
        return guard(self, clock)

    vars(running)["ReleaseService"] = functools.partial(ReleaseService, clock=clock)
    vars(opening)["open_store"] = functools.partial(open_store, clock=clock)
    Ledger.clock_guard = clock_guard  # type: ignore[method-assign,assignment]  # this is what the program is for


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)  # says where each thread is
    install(clock_of(Path(sys.argv[1])))
    sys.exit(main(sys.argv[2:]))
