"""Where the words for Java come from: a file, or standard input. World: reads it."""

from __future__ import annotations

import sys
from pathlib import Path

from strongroom.launcher.launch import MAX_BYTES
from strongroom.launcher.roles import LaunchArgumentRefused


def read_source(path: Path) -> bytes:
    """Return what a file holds, `-` being standard input, and one byte more than is allowed at most.

    Raises LaunchArgumentRefused.
    """
    if str(path) == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise LaunchArgumentRefused(f"{path}: {problem.strerror}") from None
