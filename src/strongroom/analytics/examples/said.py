"""What a driver says on standard error: passed on as it comes, and its last lines kept for each example.

World: a pipe, or a pseudo-terminal where this process has a terminal, so that a job's progress is still shown.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import sys
import termios
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from strongroom.analytics.examples import together

MAX_LINES: Final = 40
MAX_CHARS: Final = 400  # of a line
_PIECE_BYTES: Final = 64 * 1024
_SHOWN: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # how a terminal is told of colours and places
_MARKS: Final = (together.BEGIN, together.END)


class Said:
    """Hears one process; `end_of_child` is what it writes to, which is closed here once it has been started."""

    def __init__(self, pass_on: Callable[[str], object]) -> None:
        self._pass_on = pass_on
        self._ours, self.end_of_child = _terminal() if sys.stderr.isatty() else os.pipe()
        self._pending = ""
        self._passed = 0  # of what is pending
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._ended: list[str] = []
        self._thread = threading.Thread(target=self._hear, name="said", daemon=True)

    def started(self) -> None:
        """Begin to hear: the process has its own end."""
        os.close(self.end_of_child)
        self._thread.start()

    def ended(self) -> list[str]:
        """Wait for the end; return the last lines of each program that `together` ran, and behind the last mark."""
        self._thread.join()
        return [*self._ended, "".join(self._lines)]

    def _hear(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with os.fdopen(self._ours, "rb", buffering=0) as source:
            while piece := _read(source.fileno()):
                self._take(decoder.decode(piece))
        self._take(decoder.decode(b"", final=True))
        if self._pending:
            self._take("\n")

    def _take(self, text: str) -> None:
        *lines, self._pending = (self._pending + text).split("\n")
        for line in lines:
            self._line(line)
        # A line that may yet be a mark waits for its end; any other is shown as it comes.
        if not any(mark.startswith(self._pending[: len(mark)]) for mark in _MARKS):
            self._show(self._pending)

    def _line(self, line: str) -> None:
        if line.startswith(together.BEGIN):
            self._lines.clear()
        elif line.startswith(together.END):
            self._ended.append("".join(self._lines))
            self._lines.clear()
        else:
            self._show(f"{line}\n")
            self._keep(line)
        self._passed = 0

    def _show(self, text: str) -> None:
        if len(text) > self._passed:
            self._pass_on(text[self._passed :])
            self._passed = len(text)

    def _keep(self, line: str) -> None:
        shown = _SHOWN.sub("", line.rstrip("\r").rpartition("\r")[2])  # what a terminal shows in the end
        if shown.strip():
            cut = shown if len(shown) <= MAX_CHARS else f"{shown[: MAX_CHARS - 1]}…"
            self._lines.append("".join(each if each.isprintable() or each == "\t" else "?" for each in cut) + "\n")


def _terminal() -> tuple[int, int]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, fcntl.ioctl(sys.stderr.fileno(), termios.TIOCGWINSZ, bytes(8)))
    return ours, theirs


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _PIECE_BYTES)
    except OSError:  # how a pseudo-terminal says that nobody writes to it any more
        return b""
