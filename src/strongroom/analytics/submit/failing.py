"""What a person sees of a program that failed: where in the program, and why; whole traces where they were asked for.

World: standard error, the file that --log-file names. What Spark raises holds traces of Java and of workers in Python;
its one useful sentence is printed when everything else has been.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

import strongroom
from strongroom.analytics.session.folder import ALL_SHOWN
from strongroom.errors import StrongroomError
from strongroom.sparkjobs.failures import Failure, failure

_OURS: Final = os.fspath(Path(strongroom.__file__).parent) + os.sep
_SPARKS: Final = (f"{os.sep}pyspark{os.sep}", f"{os.sep}py4j{os.sep}", "<frozen ")
_LIBRARY: Final = os.fspath(Path(os.__file__).parent) + os.sep
_INSTALLED: Final = "site-packages"
_SPARKS_TYPES: Final = ("pyspark.", "py4j.")


class Failing:
    """Stands for sys.excepthook; `say` is to be called at the end of everything."""

    def __init__(self, program: str, traces: str) -> None:
        self._program: Final = program
        self._traces: Final = traces
        self._words = ""

    def hear(self, kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
        """Take what the program raised, while the JVM is there to say what it means."""
        if isinstance(problem, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left is to end
            self._words = "spark submit: interrupted\n"
            return
        if not isinstance(problem, Exception):
            sys.__excepthook__(kind, problem, trace)
            return
        whole = "".join(traceback.format_exception(kind, problem, trace))
        if self._traces == ALL_SHOWN:
            sys.stderr.write(whole)
        elif self._traces:
            with Path(self._traces).open("a", encoding="utf-8", errors="replace") as log:
                log.write(whole)
        self._words = self._told(problem)

    def say(self) -> None:
        """Print it."""
        sys.stderr.write(self._words)
        sys.stderr.flush()

    def _told(self, problem: Exception) -> str:
        found = traceback.TracebackException.from_exception(problem)
        told = _of_ours(problem) if isinstance(problem, StrongroomError) else None
        is_told = told is not None or type(problem).__module__.startswith(_SPARKS_TYPES)
        _leave_programs(found, self._program, library=not is_told)
        if not is_told:
            return "".join(found.format())
        frames = found.stack.format()
        places = "".join(["Traceback (most recent call last):\n", *frames]) if frames else ""
        return places + self._sentence(told or failure(str(problem)))

    def _sentence(self, found: Failure) -> str:
        where = (
            "are above, or in the log" if self._traces else "are printed with --verbose, or kept with --log-file FILE"
        )
        fix = found.fix or f"Mend the program; whole traces {where}."
        code = f"  [{found.code}]\n" if found.code else ""
        return f"spark submit: {found.sentence}\n  what to do: {fix}\n{code}"


def _of_ours(problem: StrongroomError) -> Failure:
    return Failure(problem.sentence, problem.fix, problem.code)


def _leave_programs(found: traceback.TracebackException, program: str, *, library: bool) -> None:
    """Leave the program's own lines in a trace and in those of its causes; of Python's library's where wanted."""
    waiting = [found]
    while waiting:
        each = waiting.pop()
        kept = [frame for frame in each.stack if frame.filename == program or _is_others(frame.filename, library)]
        each.stack = traceback.StackSummary.from_list(kept)
        waiting += [other for other in (each.__cause__, each.__context__) if other is not None]


def _is_others(name: str, library: bool) -> bool:
    if name.startswith(_LIBRARY) and _INSTALLED not in name:
        return library
    return not (name.startswith(_OURS) or any(each in name for each in _SPARKS))
