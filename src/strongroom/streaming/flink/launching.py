"""A worker that proves itself, launched beside Flink: Flink places, restarts and ends it, and holds none of its keys.

World: processes, threads. A Python worker of Flink's runs whatever code is submitted to its cluster, so a quote for it
says little of who has the keys. What is launched instead is the measured program of any other machine (`gramine-sgx`,
`strongroom sim run`): the same manifest, the same policy at the broker. It gets SIGTERM when the subtask ends, in
whatever way. Source: spec `cluster-serving.md` section 12.2; threats AN-06, KD-24.
"""

from __future__ import annotations

import logging
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import IO, Final, cast

from strongroom.clusterserving.config import QueueConfig
from strongroom.errors import BadInput, Refused, Unreachable
from strongroom.platforms import Platform
from strongroom.streaming.leash import leashed

DRAIN_S: Final = 45.0  # a worker's own limit is 30
MAX_WORDS_BYTES: Final = 4096
_KEPT_LINES: Final = 20
_log: Final = logging.getLogger("strongroom.flink")


class Unproven(Refused):
    """This queue's keys come from a broker, and nothing vouches for this Flink's task managers."""

    code = "SR-FLINK-UNPROVEN"
    fix = "Name what launches a measured worker beside each, such as --launch 'gramine-sgx streaming-worker'."


class BadLaunch(BadInput):
    """The command that launches a measured worker is empty, too long, or its quotes do not close."""

    code = "SR-FLINK-LAUNCH"
    fix = "Write it as for a shell, in one word: --launch 'strongroom sim run --world DIR worker.manifest'."


class LaunchedEnded(Unreachable):
    """A worker that was launched on a task manager ended by itself."""

    code = "SR-FLINK-WORKER-ENDED"
    fix = "The task manager's log has what it said; it is launched again, after growing pauses."


def check_proven(config: QueueConfig, platform: Platform | None, launch: str = "") -> None:
    """Raise Unproven where a worker would need keys of a broker and cannot prove itself.

    `platform`: what vouches for the task manager, if anything does.
    """
    if config.broker and platform is None and not launch:
        raise Unproven(f"keys come from {config.broker}, and plain task managers cannot prove what they run")


def words_of(launch: str) -> list[str]:
    """Return a command as a list of words; the word strongroom is this Strongroom. Raises BadLaunch."""
    try:
        words = shlex.split(launch) if len(launch.encode()) <= MAX_WORDS_BYTES else []
    except ValueError:
        words = []
    if not words or "\0" in launch:
        raise BadLaunch(f"{launch[:80]!r} is no command")
    return [sys.executable, "-m", "strongroom", *words[1:]] if words[0] == "strongroom" else words


class LaunchedWorker:
    """One worker's process, for a runner that looks in now and then. What it did, it tells the queue."""

    def __init__(self, words: Sequence[str]) -> None:
        """Launch it."""
        self._words = words
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._changed = threading.Event()  # it is open, or it has ended
        self._ended = threading.Event()
        self._stopping = False
        self._process: subprocess.Popen[str] | None = None
        self._failure: BaseException | None = None
        # The kernel ends the process when the thread ends that started it, so one thread stays for it.
        self._thread = threading.Thread(target=self._keep, name="launched worker")
        self._lock = threading.Lock()
        self._thread.start()

    def await_open(self) -> None:
        """Wait until the worker says that it works. Raises LaunchedEnded."""
        self._changed.wait()
        self._raise_failure()

    def tick(self, wait_s: float) -> int:
        """Wait so long, or until the worker ends; return 0, for what it did is in the queue's own numbers.

        Raises LaunchedEnded.
        """
        self._ended.wait(wait_s)
        self._raise_failure()
        return 0

    def close(self) -> None:
        """Let the worker answer what is in hand, and wait for its end; the second time nothing happens.

        Raises LaunchedEnded where it had ended by itself since the last tick.
        """
        if self._ended.is_set():
            return
        with self._lock:
            self._stopping = True
            if self._process is not None:
                self._process.send_signal(signal.SIGTERM)
        self._thread.join(DRAIN_S)
        if self._process is not None and self._thread.is_alive():
            self._process.kill()
            self._thread.join()
        self._raise_failure()

    def _keep(self) -> None:
        """Be the thread: start the process, hand on what it says, wait for its end."""
        try:
            with self._lock:
                if self._stopping:
                    return
                self._process = subprocess.Popen(
                    leashed(self._words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace",
                )  # fmt: skip
            status = self._attend(self._process)
            if not self._stopping:
                reason = self._said[-1] if self._said else "it said nothing"
                self._failure = LaunchedEnded(f"the worker ended with status {status}: {reason[:300]}")
        except BaseException as problem:  # noqa: BLE001  # whatever it is, it is for the next tick to raise
            self._failure = problem
        finally:
            self._ended.set()
            self._changed.set()

    def _attend(self, process: subprocess.Popen[str]) -> int:
        printed, complained = cast("IO[str]", process.stdout), cast("IO[str]", process.stderr)  # pipes were asked for
        with printed, complained:
            listening = threading.Thread(target=self._listen, args=(complained,), name="what the worker says")
            listening.start()
            for line in printed:
                _log.info("%s", line.rstrip())  # its settings, once it is open
                self._changed.set()
            status = process.wait()
            listening.join()
        return status

    def _listen(self, stream: IO[str]) -> None:
        for line in stream:
            if line.strip():
                self._said.append(line.rstrip())
                _log.warning("%s", line.rstrip()[:1000])

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
