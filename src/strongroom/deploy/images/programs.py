"""Run the programs that images are made with: argv lists, no shell, an end to waiting, and their last words on failure.

World: processes.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from strongroom.errors import BadInput

LAST_LINES: Final = 12
LAST_BYTES: Final = 4096
MAX_OUTPUT_BYTES: Final = 16 * 1024 * 1024


class ProgramMissing(BadInput):
    """A program that images are built with is not installed here."""

    code = "SR-IMAGE-TOOL"
    fix = "Install the program that the sentence names."


class ProgramFailed(BadInput):
    """A program that builds, runs or pushes images failed."""

    code = "SR-IMAGE-BUILD"
    fix = "Read the program's last lines; docs/images.md says what building needs."


def find(program: str, install: str) -> str:
    """Return where a program lies. Raises ProgramMissing, saying how to install it."""
    place = shutil.which(program)
    if place is None:
        raise ProgramMissing(f"{program} is not installed", fix=f"Install it: {install}.")
    return place


def run(
    program: str,
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    install: str,
    timeout_s: float,
    cwd: Path | None = None,
) -> bytes:
    """Run a program to its end and return what it printed. Raises ProgramMissing or ProgramFailed.

    Its words must not hold a secret: other users of the machine see them.
    """
    place = find(program, install)
    try:
        done = subprocess.run(
            [place, *words], env=dict(environ), cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
            check=False, timeout=timeout_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ProgramFailed(f"{program} did not end within {timeout_s:.0f} seconds") from None
    except OSError as problem:
        raise ProgramFailed(f"{program} does not start: {problem.strerror}") from None
    if done.returncode:
        raise ProgramFailed(f"{program} {_first_word(words)}failed with status {done.returncode}: {_last(done)}")
    return done.stdout[:MAX_OUTPUT_BYTES]


def _first_word(words: Sequence[str]) -> str:
    return f"{words[0]} " if words and not words[0].startswith("-") else ""


def _last(done: subprocess.CompletedProcess[bytes]) -> str:
    said = (done.stderr.strip() or done.stdout.strip())[-LAST_BYTES:].decode("utf-8", "replace")
    printable = "".join(char if char.isprintable() or char == "\n" else "?" for char in said)
    return "\n  ".join(printable.splitlines()[-LAST_LINES:]) or "it said nothing"
