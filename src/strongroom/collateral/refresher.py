"""Renew collateral in the background, in good time before it ends.

World: one thread. What it waits with is handed in, so that a test wakes it when it likes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Final, Protocol, Self

MAX_WAIT_S: Final = 600.0  # new wants and a changed clock are noticed within this time
MIN_WAIT_S: Final = 1.0
PATIENCE_S: Final = 2.0  # that a stop waits for a renewal under way
_log = logging.getLogger("strongroom.collateral")


class Refreshing(Protocol):
    """Something that renews itself."""

    def refresh(self) -> datetime | None:
        """Renew what is due; return when to ask again, None if nothing is known to be."""


class Refresher:
    """Calls `refresh` whenever something is due, until it is stopped. A context manager."""

    def __init__(
        self,
        source: Refreshing,
        *,
        clock: Callable[[], datetime],
        wait: Callable[[float], bool] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._source = source
        self._clock = clock
        self._patience_s = patience_s
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait  # returns whether to stop
        self._thread = threading.Thread(target=self._run, name="collateral-refresher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the thread; one that waits for a slow server is left to end with the process.

        It can do no harm there: what it writes, it writes whole or not at all.
        """
        self._stopping.set()
        self._thread.join(self._patience_s)

    def _run(self) -> None:
        seconds = MIN_WAIT_S
        while not self._wait(seconds):
            try:
                due = self._source.refresh()
            except Exception:  # noqa: BLE001  # the thread must outlive a bug; the log must show it
                _log.exception("the collateral refresher failed; it goes on")
                due = None
            seconds = self._until(due)

    def _until(self, due: datetime | None) -> float:
        if due is None:
            return MAX_WAIT_S
        return min(max((due - self._clock()).total_seconds(), MIN_WAIT_S), MAX_WAIT_S)
