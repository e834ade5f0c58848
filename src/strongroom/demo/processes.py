"""Start the story's processes, wait for what they say, and end every one of them by its id, whatever happens."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from strongroom.errors import StrongroomError

COMMAND: Final = (sys.executable, "-m", "strongroom")
STOP_TIMEOUT_S: Final = 5.0
RUN_TIMEOUT_S: Final = 60.0


class StepFailed(StrongroomError):
    """A command of the demonstration did not do what its step needs."""

    code = "SR-DEMO-STEP"
    fix = "Read the log that the sentence names; run again with --keep to look around."
    family = "demonstration"
    exit_status = 2


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command that ended said."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


class Child:
    """A running process whose output goes, line by line, to a log file and to whoever waits for it."""

    def __init__(self, name: str, argv: Sequence[str], *, log: Path, cwd: Path, environ: Mapping[str, str]) -> None:
        self.name, self.argv, self.log = name, tuple(argv), log
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        # A session of its own: Ctrl-C reaches this program alone, which then ends the others in order.
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(environ),
            start_new_session=True,
        )
        self._pump = threading.Thread(target=self._read, daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self._process.pid

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with self.log.open("ab") as log:
            for raw in stream:
                log.write(raw)
                log.flush()
                with self._changed:
                    self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, pattern: str, *, count: int = 1, timeout_s: float = RUN_TIMEOUT_S) -> re.Match[str]:
        """Return the `count`th match in the output so far or to come.

        Raises StepFailed when the process ends before that, or time is up.
        """
        deadline, seen, missing = time.monotonic() + timeout_s, 0, count
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    found = re.search(pattern, line)
                    missing -= found is not None
                    if found and not missing:
                        return found
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    raise StepFailed(self._complaint(pattern))
                self._changed.wait(left)

    def _complaint(self, pattern: str) -> str:
        how = "ended" if self._ended else "did not come that far in time"
        last = self.lines[-1] if self.lines else "nothing"
        return f"{self.name} {how} before it said {pattern!r}; last it said: {last} (log: {self.log})"

    def wait(self, *, timeout_s: float = RUN_TIMEOUT_S) -> int:
        """Wait until it ends by itself and return its exit status. Raises StepFailed when time is up."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise StepFailed(f"{self.name} still runs after {timeout_s:g} s (log: {self.log})") from None
        self._pump.join(STOP_TIMEOUT_S)
        return status

    def stop(self) -> None:
        """End the process and what it started: politely first, for sure after a while. Safe to call twice."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._is_there():
                break
            _signal_group(self.pid, number)
            self._pump.join(STOP_TIMEOUT_S)
        self._process.wait(STOP_TIMEOUT_S)
        if self._process.stdout is not None and not self._pump.is_alive():
            self._process.stdout.close()

    def _is_there(self) -> bool:
        """Whether the process, or a child that holds its output, lives: only then is the group's id still ours."""
        return self._pump.is_alive() or self._process.poll() is None


class Children:
    """All processes of one demonstration; leaving the `with` block ends them in reverse order."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder, self._environ = folder, environ
        self._running: list[Child] = []
        self._lock = threading.Lock()

    def start(self, name: str, *words: str | Path) -> Child:
        """Start `strongroom WORDS…` and return it running."""
        log = self._folder / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        child = Child(name, [*COMMAND, *map(str, words)], log=log, cwd=self._folder, environ=self._environ)
        with self._lock:
            self._running.append(child)
        return child

    def run(self, *words: str | Path, timeout_s: float = RUN_TIMEOUT_S) -> Finished:
        """Run `strongroom WORDS…` to its end and return what it said, whatever its exit status."""
        argv = [*COMMAND, *map(str, words)]
        try:
            done = subprocess.run(
                argv, cwd=self._folder, env=dict(self._environ), stdin=subprocess.DEVNULL, capture_output=True,
                text=True, timeout=timeout_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise StepFailed(f"strongroom {shown(words)} did not end within {timeout_s:g} s") from None
        return Finished(tuple(argv), done.returncode, done.stdout, done.stderr)

    def must(self, *words: str | Path) -> Finished:
        """Run a command that has to succeed. Raises StepFailed with its own words otherwise."""
        done = self.run(*words)
        if done.status != 0:
            raise StepFailed(f"strongroom {shown(words)} ended with {done.status}: {done.stderr.strip()}")
        return done

    def processes(self) -> list[Child]:
        """Return the processes that were started and not stopped, oldest first."""
        with self._lock:
            return list(self._running)

    def stop(self, child: Child) -> None:
        """End one process."""
        child.stop()
        with self._lock:
            self._running.remove(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self.processes()):
            self.stop(child)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the story's processes inherit: paths and language, not the rest of the user's settings."""
    kept = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "XDG_CACHE_HOME", "PYTHONPATH", "STRONGROOM_TRACEBACK")
    return {name: environ[name] for name in kept if name in environ} | {
        "PYTHONUNBUFFERED": "1",
        "GRPC_VERBOSITY": "NONE",
    }


def shown(words: Sequence[str | Path]) -> str:
    """Return a command's words as one line."""
    return " ".join(map(str, words))


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
