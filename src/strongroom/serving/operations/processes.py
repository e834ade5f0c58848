"""Several processes on one port: a parent that starts them, passes signals on, and replaces one that crashes.

Each child is this very command with two environment variables more, its number and the folder where the children meet
(`siblings`); neither is a secret. A child gets its own key from the broker: it is attested by itself. The kernel
spreads connections over them (SO_REUSEPORT). World: processes, signals, a folder, the log. Source: decision 8.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from strongroom.serving.operations.siblings import FOLDER, NUMBER, Place

FIRST_WAIT_S: Final = 0.5  # before a child that crashed is replaced; doubled each time
LONGEST_WAIT_S: Final = 30.0
STEADY_S: Final = 60.0  # a child that served for so long begins anew with the first wait
_PR_SET_PDEATHSIG: Final = 1
_log: Final = logging.getLogger("strongroom.serving")


def supervise(count: int) -> int:
    """Run `count` children of this command until SIGTERM or SIGINT; return the exit status.

    A child that cannot start when the server does ends the server, with its status.
    """
    return asyncio.run(_supervise(count, [sys.executable, *sys.orig_argv[1:]]))


def end_with_parent() -> None:
    """Get SIGTERM when the parent dies: a child alone would be replaced by nobody and stopped by nobody."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


async def _supervise(count: int, words: Sequence[str]) -> int:
    folder = Path(tempfile.mkdtemp(prefix="strongroom-"))  # 0700
    try:
        return await Parent(words, folder, count).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True)
class Parent:
    """The children of one server."""

    words: Sequence[str]
    folder: Path
    count: int
    _running: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _status: int = 0

    async def run(self) -> int:
        """Start the children, keep them, stop them; return the first exit status that is not 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._tell, signal.SIGHUP)
        await asyncio.gather(*(self._keep(number) for number in range(1, self.count + 1)))
        return self._status

    def stop(self) -> None:
        """Let every child drain and end; the second time nothing happens."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for child in self._running.values():
            if child.returncode is None:
                _send(child, number)

    async def _keep(self, number: int) -> None:
        """Run one child after the other at a place until the server stops."""
        place, wait_s, has_served = Place(self.folder, number), FIRST_WAIT_S, False
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            status = await self._run_child(place)
            has_served = has_served or place.socket.exists()  # a child that ends well removes it
            if self._stopping.is_set() or not has_served:
                self._status = self._status or status
                self.stop()
                return
            if loop.time() - began >= STEADY_S:
                wait_s = FIRST_WAIT_S
            _log.error("process %d ended with status %d; another takes its place in %g s", number, status, wait_s)
            try:
                await asyncio.wait_for(self._stopping.wait(), wait_s)
            except TimeoutError:
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _run_child(self, place: Place) -> int:
        environ = {**os.environ, FOLDER: str(place.folder), NUMBER: str(place.number)}
        child = await asyncio.create_subprocess_exec(*self.words, env=environ, stdin=asyncio.subprocess.DEVNULL)
        self._running[place.number] = child
        if self._stopping.is_set():
            _send(child, signal.SIGTERM)  # it was started while the others were told
        status = await child.wait()
        if self._stopping.is_set() and status == -signal.SIGTERM:
            return 0  # it was told to stop before it had begun
        return status if status >= 0 else 128 - status


def _send(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal past `Popen.send_signal`, which may take an ended child's status away from the loop (gh-127049)."""
    with suppress(ProcessLookupError):
        os.kill(child.pid, number)
