"""Progress of a job in the terminal: one bar a stage, by asking Spark's status tracker now and then.

World: the driver's Spark, a terminal. Where standard error is no terminal there is no bar and nothing is asked.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

from strongroom.analytics.report.reading import plain

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

POLL_S: Final = 0.25
MAX_BARS: Final = 6
_MAX_NAME: Final = 48


@dataclass(frozen=True, slots=True)
class Going:
    """A stage under way."""

    number: int
    name: str
    tasks: int
    done: int
    failed: int


class Tracker(Protocol):
    """What is asked of PySpark's StatusTracker."""

    def getActiveStageIds(self) -> list[int]:  # noqa: N802 - PySpark's name
        """Return the stages that run."""

    def getStageInfo(self, stageId: int) -> Any:  # noqa: ANN401, N802, N803 - PySpark's names and SparkStageInfo
        """Return what is known of a stage, or None."""


def going(tracker: Tracker) -> list[Going]:
    """Return the stages under way, by number."""
    found = ((each, tracker.getStageInfo(each)) for each in sorted(tracker.getActiveStageIds()))
    return [
        Going(number, plain(info.name, _MAX_NAME), info.numTasks, info.numCompletedTasks, info.numFailedTasks)
        for number, info in found
        if info is not None
    ]


class Bars:
    """One bar for each stage; those that ended go."""

    def __init__(self, display: Progress) -> None:
        self._display: Final = display
        self._bars: dict[int, TaskID] = {}

    def show(self, stages: Sequence[Going]) -> None:
        """Bring the bars to what runs now."""
        now = {each.number: each for each in stages[:MAX_BARS]}
        for number in self._bars.keys() - now.keys():
            self._display.remove_task(self._bars.pop(number))
        for number, each in now.items():
            if number not in self._bars:
                self._bars[number] = self._display.add_task("", total=each.tasks, tasks="")
            failed = f", {each.failed} failed" if each.failed else ""
            self._display.update(
                self._bars[number], completed=each.done, total=each.tasks,
                description=f"stage {number} {each.name}", tasks=f"{each.done}/{each.tasks}{failed}",
            )  # fmt: skip


@contextlib.contextmanager
def jobs_shown(tracker: Tracker, *, stream: TextIO | None = None, quiet: bool = False) -> Iterator[None]:
    """Show the stages under way while the block runs, if there is a terminal to show them on."""
    stream = stream if stream is not None else sys.stderr
    if quiet or not stream.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[tasks]}"),
               TimeElapsedColumn())  # fmt: skip
    ended = threading.Event()
    with Progress(*columns, console=Console(file=stream), transient=True) as display:
        watcher = threading.Thread(target=_watch, args=(tracker, Bars(display), ended), daemon=True, name="progress")
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def _watch(tracker: Tracker, bars: Bars, ended: threading.Event) -> None:
    while not ended.wait(POLL_S):
        try:
            bars.show(going(tracker))
        except Exception:  # noqa: BLE001  # a Spark that is stopping answers with errors of many kinds: no more bars
            return
