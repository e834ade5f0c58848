"""Run a driver to its end: hand on signals, copy what it says into a log, end with it.

World: one process, signals. Call it from the main thread.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Final

from strongroom.pki import disk
from strongroom.serving.operations.processes import end_with_parent

_HANDED_ON: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SIGNALLED: Final = 128  # exit status of a program that a signal ended, as shells count
_PIECE_BYTES: Final = 64 * 1024


def run(
    command: Sequence[str], environ: Mapping[str, str], *, log: Path | None = None,
    started: Callable[[subprocess.Popen[bytes]], object] = lambda _: None,
) -> int:  # fmt: skip
    """Run it; return its exit status, 128 + N after signal N. `log`: what it prints goes there as well (0600)."""
    sys.stdout.flush()
    sys.stderr.flush()
    with ExitStack() as stack:
        pipes = subprocess.PIPE if log is not None else None
        process = stack.enter_context(
            subprocess.Popen(
                command, env=dict(environ), stdout=pipes, stderr=pipes,
                preexec_fn=end_with_parent,  # noqa: PLW1509  # it takes no lock
            )
        )  # fmt: skip
        stack.enter_context(_signals_to(process))
        started(process)
        threads = []
        if log is not None:
            file = stack.enter_context(_log_file(log))
            threads = [_copy(process.stdout, sys.stdout, file), _copy(process.stderr, sys.stderr, file)]
        status = process.wait()
        for thread in threads:
            thread.join()
    return status if status >= 0 else _SIGNALLED - status


def _log_file(path: Path) -> IO[bytes]:
    # Appended to: the driver's traces go there as well.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, disk.SECRET_MODE)
    os.fchmod(descriptor, disk.SECRET_MODE)  # what a program prints can be data
    return os.fdopen(descriptor, "wb", buffering=0)


def _copy(source: IO[bytes] | None, target: IO[str], log: IO[bytes]) -> threading.Thread:
    def pump() -> None:
        if source is None:
            return
        with source:
            while piece := os.read(source.fileno(), _PIECE_BYTES):
                target.buffer.write(piece) if hasattr(target, "buffer") else target.write(
                    piece.decode(errors="replace")
                )
                target.flush()
                log.write(piece)

    thread = threading.Thread(target=pump, name="log", daemon=True)
    thread.start()
    return thread


@contextmanager
def _signals_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    def hand_on(number: int, frame: FrameType | None) -> None:
        del frame
        if number != signal.SIGINT or not sys.stdin.isatty():  # a terminal sends Ctrl-C to both already
            process.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in _HANDED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
