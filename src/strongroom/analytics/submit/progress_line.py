"""Progress of a job's stages on standard error while its program runs, from Spark's own status tracker.

World: a thread that looks every half second, and the terminal. Silent where standard error is no terminal.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_PERIOD_S: Final = 0.5


class Progress:
    """Shows one bar for each stage that runs."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        if sys.stderr.isatty():
            self._thread.start()

    def stop(self) -> None:
        """Take the bars away."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(5)

    def _watch(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        bars: dict[int, TaskID] = {}
        with Bars(*columns, console=Console(stderr=True), transient=True) as shown:
            while not self._ended.wait(_PERIOD_S):
                # A context that is being stopped answers with whatever error it is at; the next look is soon.
                with contextlib.suppress(Exception):
                    _look(shown, bars)


def _look(shown: Bars, bars: dict[int, TaskID]) -> None:
    core: Any = sys.modules.get("pyspark.core.context")
    context = core.SparkContext._active_spark_context if core is not None else None  # noqa: SLF001  # as PySpark does
    if context is None:
        return
    tracker = context.statusTracker()
    active = list(tracker.getActiveStageIds())
    for stage in active:
        info = tracker.getStageInfo(stage)
        if info is not None:
            if stage not in bars:
                bars[stage] = shown.add_task(f"stage {stage}", total=info.numTasks)
            shown.update(bars[stage], completed=info.numCompletedTasks)
    for stage in [each for each in bars if each not in active]:
        shown.remove_task(bars.pop(stage))
