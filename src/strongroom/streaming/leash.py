"""Become another program that is told to end when whoever started it dies: python -I leash.py PARENT PROGRAM WORDS…

World: a process. PARENT is the number of the process that starts it. Standard library only: it runs before every such
program. A `preexec_fn` would ask the kernel for the same, but it makes `subprocess` fork in earnest, and gRPC, where a
process has it, starts its threads again in the child: nine children of 1,500 died of that before their program began.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def leashed(words: Sequence[str]) -> list[str]:
    """Return a command that gets SIGTERM when the thread ends that starts it."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *words]


def _become(parent: int, words: list[str]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)  # holds across execve(2)
    if os.getppid() != parent:  # it died before the kernel was asked
        sys.exit(1)
    try:
        os.execvp(words[0], words)  # noqa: S606  # words of who submits jobs, and no shell
    except OSError as problem:
        sys.exit(f"{words[0]} does not start: {problem.strerror}")


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
