"""A program that a part runs as its child: signals go on to it, and its end is the part's end.

World: a process. It is not taken over with exec, because what opened the part's keys goes on beside it: renewed
certificates reach a program that runs.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

Handlers = Mapping[int, object]


@contextmanager
def child(
    command: Sequence[str], *, environ: Mapping[str, str] | None = None, told: bytes | None = None
) -> Iterator[subprocess.Popen[bytes]]:  # fmt: skip
    """Start a program and lend it; SIGTERM and SIGINT are handed to it meanwhile. Raises OSError if it does not start.

    `told`: what it reads from its standard input, to the end.

    Whoever leaves the block early leaves no child: it is asked to end, and waited for.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL if told is None else subprocess.PIPE, env=environ)
    before = _pass_on(process)
    try:
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin as pipe:
                pipe.write(told or b"")
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # it is what signal.signal returned


def _pass_on(process: subprocess.Popen[bytes]) -> Handlers:
    """Hand SIGTERM and SIGINT to a program that saves what it has and ends; return the handlers that were there."""

    def forward(_number: int, _frame: FrameType | None) -> None:
        process.terminate()

    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
