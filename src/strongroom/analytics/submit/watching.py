"""End a job whose executors cannot prove what they are: otherwise its master would try others again and again.

World: the roll call of a cluster, the driver's process.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom.analytics.agent.roll_call import ExecutorsRefused, RollCall, Watch

GRACE_S: Final = 10.0


class Driver:
    """The driver's process, once there is one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False

    def started(self, process: subprocess.Popen[bytes]) -> None:
        """Take the process, and end it if that was wanted before it was there."""
        self._process = process
        if self._is_over:
            process.send_signal(signal.SIGTERM)

    def end(self, _refusal: ExecutorsRefused) -> None:
        """Ask it to end, and see to it: a driver without executors may wait for them for ever."""
        self._is_over = True
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()


@contextmanager
def watched(roll_call: str | None, events: Path | None = None) -> Iterator[Driver]:
    """Lend what the driver's process is given to; raise ExecutorsRefused at the end if the job ended for that.

    `events`: where to note for the job's report who came meanwhile.
    """
    driver = Driver()
    if roll_call is None:
        yield driver
        return
    watch = Watch(RollCall(Path(roll_call)), driver.end)
    try:
        with watch:
            yield driver
    finally:
        if events is not None:
            for arrival in watch.arrivals:
                RollCall(events).note(arrival)
    if watch.refusal is not None:
        raise watch.refusal
