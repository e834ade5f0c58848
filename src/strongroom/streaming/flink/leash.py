"""Become another program that is told to end when whoever started it dies: python leash.py PROGRAM WORDS…"""

from __future__ import annotations

import os
import sys

from strongroom.serving.operations.processes import end_with_parent

if __name__ == "__main__":
    end_with_parent()  # holds across execve(2)
    try:
        os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  # the words of who submitted the job, and no shell
    except OSError as problem:
        sys.exit(f"{sys.argv[1]} does not start: {problem.strerror}")
