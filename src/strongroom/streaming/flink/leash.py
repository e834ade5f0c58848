"""Become another program that is told to end when whoever started it dies: python -I leash.py PARENT PROGRAM WORDS…

PARENT is the number of the process that starts it. Standard library only: it runs before every such program.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # holds across execve(2)
    if os.getppid() != int(sys.argv[1]):  # it died before the kernel was asked
        sys.exit(1)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  # words of who submits jobs, and no shell
    except OSError as problem:
        sys.exit(f"{sys.argv[2]} does not start: {problem.strerror}")
