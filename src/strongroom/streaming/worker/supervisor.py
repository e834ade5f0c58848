"""Several workers on one machine: a parent that starts them, sums what they report, and replaces one that crashes.

Each child is this very command with one environment variable more: its number and the pipe it reports through. A child
attests, and gets its keys, by itself. One that ends over its configuration before it ever was ready ends all, since the
next would end the same way. World: processes, signals, pipes, the log. Source: spec `cluster-serving.md` section 12.1.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Self

from strongroom.streaming.worker.reports import MAX_REPORT_BYTES, Report, together

PLACE: Final = "STRONGROOM_QUEUE_WORKER"
FIRST_WAIT_S: Final = 0.5  # before a worker that crashed is replaced; doubled each time
LONGEST_WAIT_S: Final = 30.0
STEADY_S: Final = 60.0  # a worker that ran for so long begins anew with the first wait
REPORT_S: Final = 0.5
OVER_CONFIGURATION: Final = frozenset({1, 2, 3})  # exit statuses that the next worker would end with as well
STARTING: Final = Report(ready=False, reason="starting")
_log: Final = logging.getLogger("strongroom.queue.supervisor")


@dataclass(frozen=True, slots=True)
class ChildPlace:
    """Which of several workers this process is, and the pipe that its supervisor listens to."""

    number: int
    pipe: int

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self | None:
        """Read the place that a supervisor gave; None for a worker by itself."""
        number, _, pipe = environ.get(PLACE, "").partition(":")
        return cls(int(number), int(pipe)) if number.isdecimal() and pipe.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.number}:{self.pipe}"


@dataclass(slots=True)
class Supervisor:
    """The workers of one machine. `words`: the command of each."""

    words: Sequence[str]
    count: int
    first_wait_s: float = FIRST_WAIT_S
    _reports: dict[int, Report] = field(default_factory=dict)
    _running: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _status: int = 0

    def report(self) -> Report:
        """Return what the workers say, as one."""
        return together(self._reports.get(number, STARTING) for number in range(1, self.count + 1))

    @property
    def pids(self) -> dict[int, int]:
        """The processes that run now, by their number."""
        return {number: child.pid for number, child in self._running.items() if child.returncode is None}

    async def run(self) -> int:
        """Keep the workers until `stop`; return the first exit status that is not 0."""
        await asyncio.gather(*(self._keep(number) for number in range(1, self.count + 1)))
        return self._status

    def stop(self) -> None:
        """Let every worker drain and end; the second time nothing happens."""
        if not self._stopping.is_set():
            self._stopping.set()
            for child in self._running.values():
                _end(child)

    async def _keep(self, number: int) -> None:
        wait_s, loop = self.first_wait_s, asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            status, was_ready = await self._run_child(number)
            self._reports.pop(number, None)
            if self._stopping.is_set() or (status in OVER_CONFIGURATION and not was_ready):
                self._status = self._status or status
                self.stop()
                return
            if loop.time() - began >= STEADY_S:
                wait_s = self.first_wait_s
            _log.error("worker %d ended with status %d; another takes its place in %g s", number, status, wait_s)
            try:
                await asyncio.wait_for(self._stopping.wait(), wait_s)
            except TimeoutError:
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _run_child(self, number: int) -> tuple[int, bool]:
        """Run one worker to its end; return its exit status, and whether it was ready at any time."""
        read_end, write_end = os.pipe()
        try:
            environ = {**os.environ, PLACE: str(ChildPlace(number, write_end))}
            child = await asyncio.create_subprocess_exec(
                *self.words, env=environ, stdin=asyncio.subprocess.DEVNULL, pass_fds=(write_end,)
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        self._running[number] = child
        if self._stopping.is_set():
            _end(child)  # it was started while the others were told
        was_ready = await self._listen(number, read_end)  # ends when the child does
        status = await child.wait()
        if self._stopping.is_set() and status == -signal.SIGTERM:
            return 0, was_ready  # it was told to stop before it had begun
        return (status if status >= 0 else 128 - status), was_ready

    async def _listen(self, number: int, read_end: int) -> bool:
        reader = asyncio.StreamReader(limit=MAX_REPORT_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
        )
        was_ready = False
        try:
            while line := await reader.readline():
                self._reports[number] = Report.from_line(line)
                was_ready = was_ready or self._reports[number].ready
        except ValueError:
            _log.warning("worker %d reported what is no report; nothing more is read from it", number)
        finally:
            transport.close()
        return was_ready


def _end(child: asyncio.subprocess.Process) -> None:
    """Send SIGTERM past `Popen.send_signal`, which may take an ended child's status from the loop (gh-127049)."""
    with suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGTERM)
