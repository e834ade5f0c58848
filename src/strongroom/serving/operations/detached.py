"""Processes that outlive who started them: start them, tell whether they are still the same, end exactly those.

World: processes. Each leads a session of its own, so that its children can be found; it is known by number and start,
and waited for through a descriptor (pidfd), never by name.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STOP_S: Final = 20.0
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER")


@dataclass(frozen=True, slots=True)
class Started:
    """A process: numbers come again, number and start (in clock ticks since the machine's, proc(5)) together do not."""

    role: str
    pid: int
    start: int


def kept_environment(*more: str) -> dict[str, str]:
    """Return what such a process is told of this one's environment: paths and language, nothing else it may hold."""
    return {name: os.environ[name] for name in (*_KEPT, *more) if name in os.environ}


def start(
    role: str, command: Sequence[str], variables: Mapping[str, str], output: Path, *, folder: Path | None = None
) -> Started:
    """Start a process that stays when this one ends; what it says is appended to `output`. Raises OSError.

    `variables`: its whole environment; `folder`: where it runs.
    """
    with output.open("ab") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(variables), stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            start_new_session=True, umask=0o077,
        )  # fmt: skip
    process.returncode = 0  # it is not this process's to wait for: it outlives it
    return Started(role, process.pid, started_at(process.pid) or 0)


def started_at(pid: int) -> int | None:
    """Return when a process started, in ticks (field 22 of /proc/PID/stat), None if there is none or it is a zombie."""
    fields = _stat(Path(f"/proc/{pid}"))
    return None if fields is None else int(fields[19])


def alive(process: Started) -> bool:
    """Return whether it still is the process that was started."""
    return started_at(process.pid) == process.start


def stop(processes: Sequence[Started], *, sessions: bool = False, timeout_s: float = STOP_S) -> int:
    """Ask all to end, and kill what does not; return how many ran.

    `sessions`: kill what they leave of their sessions, too; else what they started has to end by itself.
    """
    with contextlib.ExitStack() as stack:
        asked: list[tuple[Started, int]] = []
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(process.pid)
                stack.callback(os.close, handle)
                if alive(process):
                    signal.pidfd_send_signal(handle, signal.SIGTERM)
                    asked.append((process, handle))
        deadline = time.monotonic() + timeout_s
        for process, handle in asked:
            if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [], timeout_s)
            if sessions:
                _end_session(process.pid)
        return len(asked)


def members(session: int) -> Iterator[int]:
    """Yield the numbers of the processes in a session that still run, its leader among them."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            fields = _stat(entry)
            if fields is not None and int(fields[3]) == session:
                yield int(entry.name)


def _stat(entry: Path) -> list[str] | None:
    """Return the fields behind a process's name, None if there is none or it is a zombie."""
    try:
        text = (entry / "stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields


def _end_session(session: int) -> None:
    """Kill what the leader left. The number cannot be another session's while a member is alive."""
    for pid in members(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
