"""PySpark's daemon of Python workers, silent about a JVM that has hung up.

    python -m strongroom.analytics.submit.worker_daemon pyspark.worker

A JVM that has the rows it wants (limit, show, take) closes a worker's socket, and PySpark's daemon then prints how the
worker failed to write. Nothing has: every other failure is printed as before. World: PySpark's process for its workers.
"""

from __future__ import annotations

import sys
import traceback
from types import SimpleNamespace
from typing import Any

HUNG_UP = (BrokenPipeError, ConnectionResetError)


def quieted(told: Any) -> Any:  # noqa: ANN401  # print, or what prints a traceback
    """Return the same but for exceptions that mean that nobody listens any more."""

    def tell(*words: Any, **named: Any) -> None:  # noqa: ANN401  # as above
        if not isinstance(sys.exception(), HUNG_UP):
            told(*words, **named)

    return tell


def main() -> None:
    """Run the daemon until Spark closes its input."""
    from pyspark import daemon

    words: Any = daemon  # names of the module, which it looks up when it has something to say
    words.print = quieted(print)
    words.traceback = SimpleNamespace(print_exc=quieted(traceback.print_exc), format_exc=traceback.format_exc)
    daemon.manager()


if __name__ == "__main__":
    main()
