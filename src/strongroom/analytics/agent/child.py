"""Run one program below the agent: hand on signals, end it with the agent, end with it.

World: one process, signals. Call it from the main thread.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

from strongroom.errors import BadInput
from strongroom.serving.operations.processes import end_with_parent

FORWARDED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SIGNALLED: Final = 128  # exit status of a program that a signal ended, as shells count


class ProgramNotStarted(BadInput):
    """The operating system would not start the program that follows `--`."""

    code = "SR-AGENT-PROGRAM"
    fix = "Name an executable file of this machine after --."


def run(command: Sequence[str], environment: Mapping[str, str], *, executable: str | None = None) -> int:
    """Run a program to its end; return its exit status, 128 + N after signal N. Raises ProgramNotStarted."""
    sys.stdout.flush()
    sys.stderr.flush()
    with _Signals().caught() as signals:
        try:
            program = subprocess.Popen(
                command, executable=executable, env=dict(environment), stdin=subprocess.DEVNULL,
                preexec_fn=end_with_parent,  # noqa: PLW1509  # it takes no lock
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as problem:
            raise ProgramNotStarted(f"{command[0]} does not start: {problem}") from None
        signals.hand_to(program)
        status = program.wait()
    return status if status >= 0 else _SIGNALLED - status


class _Signals:
    """Those that came before there is a program are kept for it."""

    def __init__(self) -> None:
        self._program: subprocess.Popen[bytes] | None = None
        self._waiting: list[int] = []

    @contextmanager
    def caught(self) -> Iterator[_Signals]:
        before = {number: signal.signal(number, self._received) for number in FORWARDED}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def hand_to(self, program: subprocess.Popen[bytes]) -> None:
        self._program = program
        while self._waiting:
            self._received(self._waiting.pop(0), None)

    def _received(self, number: int, _frame: FrameType | None) -> None:
        if self._program is None:
            self._waiting.append(number)
        else:
            self._program.send_signal(number)  # Popen sees to it that the number is still this process's


def variables(environ: Mapping[str, str], dropped: Sequence[str], added: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program below the agent: without what would put another secret in its place."""
    return {name: value for name, value in environ.items() if name not in dropped} | dict(added)
