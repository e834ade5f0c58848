"""Start Flink's processes, and end exactly those again, with the Python workers they started.

World: processes. Each is the leader of a session of its own, so that its children can be found; it is known by number
and start, and waited for through a descriptor (pidfd), never by name.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from strongroom.streaming.flink.folder import Started
from strongroom.streaming.flink.home import FlinkHome

STOP_S: Final = 20.0
_PASSED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER")


def environment(home: FlinkHome, configuration: Path, logs: Path) -> dict[str, str]:
    """Return the whole environment of a process of Flink's: what it needs, and nothing that this process happens to
    hold."""
    kept = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return kept | {
        "JAVA_HOME": str(home.java_home),
        "FLINK_HOME": str(home.distribution),
        "FLINK_CONF_DIR": str(configuration),
        "FLINK_LOG_DIR": str(logs),
        "FLINK_IDENT_STRING": "strongroom",
        "STD_REDIRECT_TO_FILE": "true",
        "PATH": f"{home.environment / 'bin'}:{home.java_home / 'bin'}:{kept.get('PATH', os.defpath)}",
    }


def start(role: str, command: Sequence[str], variables: Mapping[str, str], output: Path) -> Started:
    """Start a process that stays when this one ends; what it says before Flink's own logs begin goes to `output`."""
    with output.open("ab") as said:
        process = subprocess.Popen(
            command, env=dict(variables), stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
            umask=0o077,
        )  # fmt: skip
    process.returncode = 0  # it is not this process's to wait for: it outlives it
    return Started(role, process.pid, started_at(process.pid) or 0)


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
    """Ask all to end; kill what does not, and whatever is left of its session. Return how many ran."""
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
            _end_session(process.pid)
        return len(asked)


def members(session: int) -> Iterator[int]:
    """Yield the numbers of the processes in a session that still run, its leader among them."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            yield int(entry.name)


def _end_session(session: int) -> None:
    """Kill what the leader left: Python workers. The number cannot be another session's while a member is alive."""
    for pid in members(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def end_group(process: subprocess.Popen[str]) -> None:
    """Kill a process that leads a group of its own, with its children; nothing happens if all have ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
