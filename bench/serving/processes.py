"""Start a server, wait until it answers, and read what its whole process tree costs, from /proc."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serving.environments import PeerMissing

TICKS: Final = os.sysconf("SC_CLK_TCK")
START_TIMEOUT_S: Final = 90.0
MEMORY_FIELDS: Final = {"Rss": "Rss", "Pss": "Pss", "Private_Clean": "Private", "Private_Dirty": "Private"}


@dataclass(frozen=True)
class Server:
    """A running server: its first process, and the ports that it was given."""

    pid: int
    ports: tuple[int, ...]

    def cpu_s(self) -> float:
        """Return the CPU seconds, user and system, of the process tree so far, ended children included.

        Those that live are read from their clocks, to the nanosecond; the kernel tells of ended ones in ticks.
        """
        first = _stat(self.pid)
        return sum(map(_clock_s, tree(self.pid))) + (sum(map(int, first[13:15])) / TICKS if first else 0.0)

    def memory(self) -> dict[str, float]:
        """Return Rss, Pss and private memory of the process tree in MB."""
        return memory_of(tree(self.pid))


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from `state` on; nothing where the process ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _clock_s(pid: int) -> float:
    """Return what a process's CPU clock says, all its threads' together (clock_getcpuclockid(3)); 0 where it ended."""
    with suppress(OSError):
        return time.clock_gettime(~pid << 3 | 2)
    return 0.0


def tree(pid: int) -> list[int]:
    """Return a process and all of its descendants."""
    parents = {int(each.name): _stat(int(each.name))[1:2] for each in Path("/proc").iterdir() if each.name.isdigit()}
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == [str(one)]]
    return found


def memory_of(pids: Sequence[int]) -> dict[str, float]:
    """Return the sum over processes of Rss, Pss and Private (clean and dirty), in MB."""
    sums = dict.fromkeys(("Rss", "Pss", "Private"), 0.0)
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name = MEMORY_FIELDS.get(line.partition(":")[0])
            if name:
                sums[name] += int(line.split()[1]) * 1024 / 1e6
    return sums


@contextmanager
def running(
    words: Sequence[str], ports: tuple[int, ...], *, environment: Mapping[str, str] | None = None, folder: Path
) -> Iterator[Server]:
    """Run a server until the block ends: it is up when its first port accepts. Raises PeerMissing when it never does.

    Its output goes to a file below `folder`; the end of it is in the exception.
    """
    with tempfile.NamedTemporaryFile("w+b", dir=folder, suffix=".log") as log:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            start_new_session=True,
        )
        try:
            wait_until_open(process, ports[0], Path(log.name))
            yield Server(process.pid, ports)
        finally:
            _stop(process)


def wait_until_open(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until a port accepts. Raises PeerMissing when the process ends or takes too long."""
    until = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    said = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise PeerMissing(f"not started: {' / '.join(said)[-400:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and whatever it started: it leads a session of its own."""
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
