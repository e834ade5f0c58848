"""What PySpark prints and a person can do nothing about. Imports nothing that starts a thread: daemons fork.

World: this process's warnings and PySpark's daemon, if that is what runs here; processes that it forks are like it.
"""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from types import SimpleNamespace
from typing import Any, Final

HUNG_UP: Final = (BrokenPipeError, ConnectionResetError)
_PANDAS_NOTICE: Final = r".*(pandas|Pandas).*"
_RAISED_AS_WELL: Final = ("DataFrameQueryContextLogger", "SQLQueryContextLogger")
_INTERRUPTED: Final = "KeyboardInterrupt while sending command."  # py4j's


def quiet_pandas() -> None:
    """Hide what PySpark says about pandas 3; it is about PySpark's own code."""
    warnings.filterwarnings("ignore", message=_PANDAS_NOTICE, category=FutureWarning, module=r"pyspark\..*")


def quiet_raised() -> None:
    """Hide traces that PySpark and py4j log of what they raise as well: it is told where it is caught, or last."""
    from pyspark.logger import PySparkLogger

    for name in _RAISED_AS_WELL:
        PySparkLogger.getLogger(name).disabled = True
    logging.getLogger().addFilter(_is_no_interrupt)


def _is_no_interrupt(record: logging.LogRecord) -> bool:
    return record.msg != _INTERRUPTED


def quieted(told: Any) -> Any:  # noqa: ANN401  # print, or what prints a traceback
    """Return the same but for exceptions that mean that nobody listens any more."""

    def tell(*words: Any, **named: Any) -> None:  # noqa: ANN401  # as above
        if not isinstance(sys.exception(), HUNG_UP):
            told(*words, **named)

    return tell


def quiet_daemon(daemon: Any) -> None:  # noqa: ANN401  # a module, whose names are replaced
    """Let PySpark's daemon print nothing of a JVM that has hung up."""
    daemon.print = quieted(print)  # names of the module, which it looks up when it has something to say
    daemon.traceback = SimpleNamespace(print_exc=quieted(traceback.print_exc), format_exc=traceback.format_exc)


def quiet_planner() -> None:
    """Do so in a worker that plans a query: Spark starts those by its own daemon, whatever the settings say."""
    main = sys.modules["__main__"]
    if getattr(main.__spec__, "name", "") == "pyspark.daemon":
        quiet_daemon(main)
