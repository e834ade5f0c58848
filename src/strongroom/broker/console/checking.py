"""The verify button: one walk over the whole ledger at a time, in a thread of its own.

World: one thread. What it found stays for all who look, until somebody asks again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from strongroom.broker.console.facts import Check
from strongroom.broker.ledger.audit import Verified
from strongroom.broker.ledger.reading import Progress
from strongroom.errors import StrongroomError

_log = logging.getLogger("strongroom.broker.console")


class LedgerCheck:
    """Runs walks. Threads may share it."""

    def __init__(self, verify: Callable[[Progress], Verified]) -> None:
        self._verify = verify
        self._lock = threading.Lock()
        self._last: Check | None = None
        self._thread: threading.Thread | None = None

    @property
    def last(self) -> Check | None:
        """The walk that runs, else the last one."""
        with self._lock:
            return self._last

    def start(self, *, by: str, now_ms: int) -> Check:
        """Begin a walk, unless one runs; return the one that runs."""
        with self._lock:
            if self._last is not None and self._last.running:
                return self._last
            number = 1 if self._last is None else self._last.number + 1
            self._last = Check(number=number, by=by, began_ms=now_ms)
            self._thread = threading.Thread(target=self._run, name="ledger check", daemon=True)
            self._thread.start()
            return self._last

    def wait(self) -> None:
        """Wait until the walk that runs is over."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        try:
            found = self._verify(lambda done, total: self._change(done=done, total=total))
            self._change(running=False, found=found, done=found.size, total=found.size)
        except StrongroomError as problem:
            _log.error("the ledger does not hold: %s [%s]", problem.sentence, problem.code)
            self._change(running=False, problem=problem.sentence, code=problem.code, fix=problem.fix)
        except Exception:  # noqa: BLE001  # a thread's last door: the page must not say for ever that it runs
            _log.exception("a defect while the ledger was verified")
            self._change(
                running=False, problem="the broker failed while it walked the ledger", code="SR-DEFECT",
                fix="This is a bug in Strongroom: report the traceback in the broker's log.",
            )  # fmt: skip

    def _change(self, **changes: object) -> None:
        with self._lock:
            if self._last is not None:
                self._last = replace(self._last, **changes)  # type: ignore[arg-type]  # fields of Check
