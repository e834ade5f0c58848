"""Show a demonstration while it runs: a live table on a terminal, one line a step elsewhere, nothing for machines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from strongroom.demo.results import AttackResult, PhotoResult, Step, StepResult

REFRESH_PER_SECOND: Final = 10
ProofLine = tuple[str, str, str]  # title or "", topic, sentence
_HEX32: Final = re.compile(r"\b[0-9a-f]{64}\b")


class Display(Protocol):
    """What the story tells as it goes."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def say(self, text: str) -> None:
        """Tell something between the steps."""

    def step_begins(self, step: Step) -> None:
        """Tell that a step is under way."""

    def step_done(self, result: StepResult) -> None:
        """Tell that a step happened."""

    def photos(self, results: Sequence[PhotoResult], card: Sequence[ProofLine]) -> None:
        """Show what the client got, and the card of what was proved."""

    def busy(self, text: str) -> AbstractContextManager[object]:
        """Tell that something takes a while, for the length of a block."""

    def attacks(self, results: Sequence[AttackResult]) -> None:
        """Show what was tried and what refused it."""


class Silent:
    """Says nothing: the report is printed as JSON at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def step_begins(self, step: Step) -> None:
        """Say nothing."""

    def step_done(self, result: StepResult) -> None:
        """Say nothing."""

    def photos(self, results: Sequence[PhotoResult], card: Sequence[ProofLine]) -> None:
        """Say nothing."""

    def busy(self, text: str) -> AbstractContextManager[object]:  # noqa: ARG002  # others show it
        """Say nothing."""
        return nullcontext()

    def attacks(self, results: Sequence[AttackResult]) -> None:
        """Say nothing."""


class Plain(Silent):
    """One line a step, as logs and pipes want it."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """Print a line."""
        self._print(text)

    def step_done(self, result: StepResult) -> None:
        """Print number, time since the beginning, who, what and what was seen."""
        step = result.step
        self._print(f"[{step.number:>2}] +{result.at:5.2f} s  {step.who}: {step.what}; {result.seen}")

    def photos(self, results: Sequence[PhotoResult], card: Sequence[ProofLine]) -> None:
        """Print each photograph's classes on one line, then the card."""
        for result in results:
            listed = ", ".join(f"{name} {100 * share:.1f} %" for name, share in result.classes)
            self._print(f"{result.photo}: {listed} ({result.latency_ms:.0f} ms)")
        for title, topic, says in card:
            self._print(f"{title:<10}  {topic:<13} {says}")

    def attacks(self, results: Sequence[AttackResult]) -> None:
        """Print a line an attack."""
        for result in results:
            word = "refused" if result.refused else "NOT REFUSED AS IT SHOULD BE"
            self._print(f"{word}: {result.attack}; by {result.refused_by} [{result.code}] {_short(result.sentence)}")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Terminal(Silent):
    """A table that fills in while the story runs."""

    def __init__(self, console: Console, steps: Sequence[Step]) -> None:
        self._console, self._steps = console, steps
        self._done: dict[int, StepResult] = {}
        self._began: set[int] = set()
        self._live = Live(
            get_renderable=self._table, console=console, refresh_per_second=REFRESH_PER_SECOND, transient=False
        )
        self._running = False

    def __enter__(self) -> Self:
        self._live.start()
        self._running = True
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the table as it stands."""
        if self._running:
            self._live.stop()
            self._running = False

    def say(self, text: str) -> None:
        """Print a line above the table, or below it once it stands."""
        self._console.print(escape(text), highlight=False)

    def step_begins(self, step: Step) -> None:
        """Turn the step's spinner."""
        self._began.add(step.number)

    def step_done(self, result: StepResult) -> None:
        """Tick the step off; the table stands still after the last."""
        self._done[result.step.number] = result
        if len(self._done) == len(self._steps):
            self.__exit__()

    def photos(self, results: Sequence[PhotoResult], card: Sequence[ProofLine]) -> None:
        """Print the classes with bars, then the card."""
        table = Table.grid(padding=(0, 2))
        for result in results:
            table.add_row(Text(result.photo, style="bold"), "", Text(f"{result.latency_ms:.0f} ms", style="dim"))
            for name, share in result.classes:
                table.add_row(f"  {escape(name)}", f"{100 * share:5.1f} %", Text("█" * round(40 * share), style="cyan"))
        self._console.print(_titled("What the client got", table))
        proved = Table.grid(padding=(0, 2))
        for title, topic, says in card:
            style = "bold red" if topic.isupper() else "cyan"
            proved.add_row(Text(title, style="bold"), Text(topic, style=style), _short(says))
        self._console.print(_titled("What was proved", proved))

    def busy(self, text: str) -> AbstractContextManager[object]:
        """Turn a spinner."""
        return self._console.status(escape(text))

    def attacks(self, results: Sequence[AttackResult]) -> None:
        """Print the table of attacks."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for title in ("", "tried just now", "refused by", "code and reason"):
            table.add_column(title, header_style="dim", overflow="fold")
        for result in results:
            mark = Text("✓", style="bold green") if result.refused else Text("✗", style="bold red")
            reason = Text.assemble((result.code, "bold"), (f"  {_short(result.sentence)}", "dim"))
            table.add_row(mark, escape(result.attack), escape(result.refused_by), reason)
        self._console.print(_titled("Attacks, and what refused them", table))

    def _table(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for step in self._steps:
            result = self._done.get(step.number)
            said = Text(step.what)
            mark: RenderableType = " "
            passed = ""
            if result is not None:
                mark, passed = Text("✓", style="bold green"), f"+{result.at:.2f} s"
                said = Text.assemble(step.what, (f"\n{result.seen}", "dim"))
            elif step.number in self._began:
                mark, passed = _SPINNER, "…"
            table.add_row(mark, Text(str(step.number), justify="right"), Text(step.who, style="cyan"), said,
                          Text(passed, style="dim", justify="right"))  # fmt: skip
        return _titled("The twelve steps", table)


_SPINNER: Final = Spinner("dots", style="yellow")


def _titled(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(f"\n{title}", style="bold"), Padding(body, (0, 0, 0, 2)))


def _short(sentence: str) -> str:
    """Return a sentence with its measurements shortened."""
    return _HEX32.sub(lambda found: f"{found.group(0)[:12]}…", sentence)


def choose(console: Console, steps: Sequence[Step], *, as_json: bool, plain: bool) -> Display:
    """Return the display that fits where the output goes."""
    if as_json:
        return Silent()
    return Plain(console) if plain or not console.is_terminal else Terminal(console, steps)
