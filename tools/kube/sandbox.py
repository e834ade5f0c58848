"""Namespaces of a cluster's own: processes, mounts and network of a machine inside this machine.

World. One process holds them. When it ends, the kernel ends every process inside, unmounts what they mounted and takes
their network away; it ends by itself when the program that made it does, however that came about.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

# The first process of a process namespace inherits every orphan. Ignoring SIGCHLD has the kernel reap them.
_HOLDER: Final = "import os, signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.write(1, b'.'); signal.pause()"
TOGETHER: Final = ("setpriv", "--pdeathsig", "KILL")  # ends with the program that started it, however that ends
START_S: Final = 20.0
STOP_S: Final = 20.0
# Where container runtime and kubelet write whatever their flags say, each with a place in the cluster's own folder.
# These exist everywhere, so that no mount point has to be made outside, and nothing inside needs what lies below them.
PRIVATE: Final[Mapping[str, str]] = {"/run": "run", "/var/log": "log/var", "/var/lib": "lib"}


class SandboxFailed(Exception):
    """A program of the cluster did not start, or a command in it failed."""


class Sandbox:
    """A machine inside this machine; a context manager that leaves neither process, mount nor link behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._holder: subprocess.Popen[bytes] | None = None
        self._first = 0  # the holder's id as this machine sees it

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        (self.folder / "log").mkdir(exist_ok=True)
        # Dies with this program, and takes the first process of the namespace, and so all of them, with it.
        argv = [*TOGETHER, "unshare", "--mount", "--net", "--pid", "--fork",
                "--kill-child=SIGKILL", "--mount-proc", sys.executable, "-I", "-S", "-c", _HOLDER]  # fmt: skip
        self._holder = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
        if self._holder.stdout is None or self._holder.stdout.read(1) != b".":
            raise SandboxFailed("unshare made no namespaces")
        self._first = _child_of(self._holder.pid)
        script = ["set -e"]
        for place, name in PRIVATE.items():
            inside = self.folder / name
            inside.mkdir(parents=True, exist_ok=True)
            script.append(f"mount --bind {inside} {place}")
        self.run(["sh", "-c", "\n".join(script)])

    def inside(self, argv: Sequence[str]) -> list[str]:
        """Return the words that run a program in all namespaces."""
        words = ["nsenter", "--target", str(self._first), "--mount", "--net", "--pid", f"--wd={self.folder}", "--"]
        return [*words, *argv]

    def on_network(self, argv: Sequence[str]) -> list[str]:
        """Return the words that run a program of this machine on the cluster's network: files and ids stay."""
        return ["nsenter", f"--net=/proc/{self._first}/ns/net", "--", *argv]

    def run(self, argv: Sequence[str], *, timeout_s: float = 60.0) -> str:
        """Run a program inside to its end; return what it said. Raises SandboxFailed."""
        done = subprocess.run(self.inside(argv), capture_output=True, text=True, check=False, timeout=timeout_s,
                              stdin=subprocess.DEVNULL)  # fmt: skip
        if done.returncode != 0:
            raise SandboxFailed(f"{argv[0]} ended with status {done.returncode}: {done.stderr.strip()[-1000:]}")
        return done.stdout

    def start(self, name: str, argv: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        """Start a server inside; its log is `log/NAME.log`."""
        with (self.folder / "log" / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.inside(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, env={**os.environ, **(environ or {})},
            )  # fmt: skip

    def look_after(self) -> None:
        """Raise SandboxFailed with the end of its log if a server has ended by itself."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise SandboxFailed(f"{name} ended with status {process.returncode}:\n{self.log_of(name)}")

    def log_of(self, name: str, lines: int = 12) -> str:
        """Return the end of a server's log."""
        text = (self.folder / "log" / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def memory_mib(self) -> dict[str, int]:
        """Return the resident memory of each server."""
        found = {}
        for name, process in self.processes.items():
            status = Path(f"/proc/{_child_of(process.pid)}/status").read_text(encoding="ascii")
            found[name] = next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmRSS"))
        return found

    def close(self) -> None:
        """End everything inside, at once, and wait until it is gone."""
        if self._first:
            _kill(self._first)
        if self._holder is not None:
            _kill(self._holder.pid)  # after the first process: its end takes all others with it
            self._holder.wait(STOP_S)
            if self._holder.stdout:
                self._holder.stdout.close()
        for process in self.processes.values():
            process.wait(STOP_S)
        self._first, self._holder = 0, None
        self.processes.clear()


def _child_of(pid: int) -> int:
    """Return the one child of `unshare` or `nsenter`, which stands for the program inside."""
    deadline = time.monotonic() + START_S
    path = Path(f"/proc/{pid}/task/{pid}/children")
    while not (found := path.read_text(encoding="ascii").split()):
        if time.monotonic() > deadline:
            raise SandboxFailed(f"process {pid} has no child")
        time.sleep(0.01)
    return int(found[0])


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
