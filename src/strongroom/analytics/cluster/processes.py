"""Start a cluster's processes, and end exactly those again.

World: processes. Each leads a session of its own; it is known by number and start, and waited for through a descriptor
(pidfd), never by name.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from strongroom.analytics.cluster.settings import Started

STOP_S: Final = 20.0
_PASSED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "XDG_DATA_HOME")


def start(role: str, command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Started:
    """Start a process in `folder` that stays when this one ends; what it says goes to `log` there."""
    kept = {name: os.environ[name] for name in _PASSED if name in os.environ}
    with (folder / "log").open("ab") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=kept | dict(variables), stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            start_new_session=True, umask=0o077,
        )  # fmt: skip
    process.returncode = 0  # it is not this process's to wait for: it outlives it
    return Started(role=role, pid=process.pid, start=started_at(process.pid) or 0)


def started_at(pid: int) -> int | None:
    """Return when a process started, in ticks (field 22 of /proc/PID/stat), None if there is none or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def alive(process: Started) -> bool:
    """Return whether it still is the process that was started."""
    return started_at(process.pid) == process.start


def stop(processes: Sequence[Started], *, timeout_s: float = STOP_S) -> int:
    """Ask all to end, and kill what does not; return how many ran. What they started ends with them."""
    with contextlib.ExitStack() as stack:
        asked: list[int] = []
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(process.pid)
                stack.callback(os.close, handle)
                if alive(process):
                    signal.pidfd_send_signal(handle, signal.SIGTERM)
                    asked.append(handle)
        deadline = time.monotonic() + timeout_s
        for handle in asked:
            if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [], timeout_s)
        return len(asked)
