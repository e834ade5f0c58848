"""Servers forked from one process that has imported everything they need, TensorFlow too, and has begun nothing.

Importing takes a server most of its start. A forked one runs the module that its command line names, as `python -m`
does, with its own words, environment, folder and pipes; it differs from a process of its own in what is imported.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

_WANTED = (  # what a server imports by itself, and may do without
    "strongroom.cli.serve", "strongroom.serving.server", "strongroom.serving.engines.tensorflow_engine",
    "strongroom.serving.engines.onnx_engine", "strongroom.serving.http2._codec", "onnxruntime", "uvloop", "cffi.api",
    "pycparser.c_parser", "concurrent.futures.thread", "strongroom.tfserving._json_numbers",
)  # fmt: skip
_MAX_REQUEST = 128 * 1024
_START_S = 300.0  # the first waits for the imports


class NestGone(RuntimeError):
    """There is nobody left to fork."""


class ForkedProcess:
    """A forked process, with what `subprocess.Popen` offers a test."""

    def __init__(self, status: socket.socket, stdout: IO[str], stderr: IO[str]) -> None:
        self.stdout, self.stderr = stdout, stderr
        self.returncode: int | None = None
        self._status = status
        self.pid = self._told(_START_S)
        if self.pid < 1:
            raise NestGone("the process that forks servers has ended; its standard error says why")

    def _told(self, timeout: float | None) -> int:
        """Return the next number that its keeper tells; that of a kill, if it is gone. Raises TimeoutExpired."""
        if not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("a forked server", timeout or 0.0)
        return int(self._status.recv(32) or -signal.SIGKILL)

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once there is one. Raises TimeoutExpired."""
        if self.returncode is None:
            self.returncode = self._told(timeout)
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class Nest:
    """The process that forks; it ends with the `with` block, and with whoever opened it."""

    def __enter__(self) -> Self:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self._process.wait()

    def begin(
        self, words: Sequence[str], *, cwd: str | os.PathLike[str] | None = None, env: Mapping[str, str] | None = None
    ) -> ForkedProcess:
        """Fork what runs `words`, a command line that begins with our Python and `-m`; both outputs are pipes."""
        assert list(words[:2]) == [sys.executable, "-m"], words  # noqa: S101  # nothing else can be forked
        told = {"words": list(words[2:]), "cwd": str(Path(cwd or ".").resolve()), "env": dict(env or os.environ)}
        ours, status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = [os.pipe(), os.pipe()]
        theirs = [writing for _, writing in pipes]
        socket.send_fds(self._control, [json.dumps(told).encode()], [*theirs, status.fileno()])
        status.close()
        for number in theirs:
            os.close(number)
        stdout, stderr = (os.fdopen(reading, encoding="utf-8") for reading, _ in pipes)
        return ForkedProcess(ours, stdout, stderr)


def main(control: socket.socket) -> None:
    """Fork for each request, until nobody is left to ask."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, _reap)
    _import_all()
    gc.collect()
    gc.freeze()  # so that a collection in a forked process does not write to, and copy, all of this
    while True:
        message, fds, _, _ = socket.recv_fds(control, _MAX_REQUEST, 3)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            _keep(json.loads(message), *fds)
            return
        for number in fds:
            os.close(number)


def _reap(*_: object) -> None:
    """Wait for the keepers that have ended; so the time that their servers took is counted as ours, too."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _import_all() -> None:
    for name in _WANTED:
        with suppress(ImportError):
            importlib.import_module(name)
    from strongroom.serving.engines.base import EngineMissing
    from strongroom.serving.engines.tensorflow_runtime import tensorflow

    with suppress(EngineMissing):
        tensorflow()


def _keep(told: dict[str, Any], stdout: int, stderr: int, status: int) -> None:
    """Fork once more: the child becomes the server, the parent tells its number and then its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if child := os.fork():
        os.close(stdout)
        os.close(stderr)
        with socket.socket(fileno=status) as telling, suppress(OSError):
            telling.send(str(child).encode())
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            telling.send(str(code).encode())
        os._exit(0)
    os.close(status)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, standard in ((stdout, 1), (stderr, 2)):
        os.dup2(number, standard)
        os.close(number)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    os.chdir(told["cwd"])
    os.environ.clear()
    os.environ.update(told["env"])
    sys.argv[1:] = told["words"][1:]
    sys.path[0] = told["cwd"]  # as `python -m` has it
    runpy.run_module(told["words"][0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
