"""What the output of each example has to say; the numbers of the guide where they are the same everywhere. Pure.

A check gets all that a program printed, and returns one sentence for each thing that is not there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from strongroom.analytics.examples.asked import Asked

Check = Callable[[str, Asked], list[str]]

JUSTIN: Final = ("| 19| Justin|", "| Justin|", "| Justin| 20|", "| 19| Justin|", "| 19| Justin|", "| 19| Justin|",
                 "Name: Justin", "| Justin|")  # fmt: skip
QUERIES: Final = 22
FIRST_TIME: Final = "2014-07-01 00:00:00"
HALF_HOURS_A_DAY: Final = 48
SIX_SIGMA: Final = 6.0
PARTITIONS: Final = 4
_SPACES: Final = re.compile(r"\s+")
_PI: Final = re.compile(r"^Pi is roughly (\d\.\d+)$", re.MULTILINE)
_FINISHED: Final = re.compile(r"^-{16}(\d+) finished-{20}$", re.MULTILINE)


def hello(output: str, asked: Asked) -> list[str]:
    """The greeting, first of all."""
    del asked
    return [] if output.startswith("Hello World\n") else ["the first line is not Hello World"]


def matrix_product(output: str, asked: Asked) -> list[str]:
    """How long the product took, and that one entry is right."""
    size = asked.whole()
    return _absent(output, (r"numpy\.dot: \d+\.\d+(e-\d+)? sec", f"one entry of {size} x {size}, .*: equal"))


def pi(output: str, asked: Asked) -> list[str]:
    """Pi, as near as so many points bring it: six standard deviations or less away."""
    found = _PI.search(output)
    if found is None:
        return ["there is no line: Pi is roughly 3.14…"]
    allowed = SIX_SIGMA * math.sqrt(math.pi * (4 - math.pi) / (PARTITIONS * asked.whole()))
    away = abs(float(found[1]) - math.pi)
    return [] if away <= allowed else [f"{found[1]} is {away:.6f} away from Pi, more than chance explains"]


def words(expected: dict[str, int]) -> Check:
    """Each word of the text with its count, and nothing else."""

    def check(output: str, asked: Asked) -> list[str]:
        del asked
        counted = dict(line.rpartition(": ")[::2] for line in output.split("\n") if ": " in line)
        wrong = [word for word in expected.keys() | counted.keys() if counted.get(word) != str(expected.get(word))]
        return [f"{word[:60]!r} is counted {counted.get(word, 'not at all')}" for word in sorted(wrong)[:5]]

    return check


def sql_basics(output: str, asked: Asked) -> list[str]:
    """The eight lines about Justin, in their order."""
    del asked
    lines = [_SPACES.sub(" ", line).strip() for line in output.splitlines() if "Justin" in line]
    return [] if lines == list(JUSTIN) else [f"the lines about Justin are {lines}, not the eight of the guide"]


def tpch(output: str, asked: Asked) -> list[str]:
    """That each of the queries has finished, one after another."""
    del asked
    finished = [int(number) for number in _FINISHED.findall(output)]
    return [] if finished == list(range(1, QUERIES + 1)) else [f"finished queries are {finished}, not 1 to {QUERIES}"]


def time_series(output: str, asked: Asked) -> list[str]:
    """Both frames with their columns, the first time, all rows twice, and the end."""
    rows = r"\d+" if asked.data is not None else str(asked.whole())
    first = r".*" if asked.data is not None else rf"0 +{FIRST_TIME} +\d+\]?"  # the only row, too
    return _absent(output, (
        r"INFO data collected: \[ +timestamp +value *",
        first,
        r"INFO data2 collected: \[ +timestamp +value +datetime +hours +awake *",
        rf"rows: ({rows}) rows with features: ({rows})",
        "Stopping orca context",
    ))  # fmt: skip


def exploration(output: str, asked: Asked) -> list[str]:
    """The rows and days there are, that none is missing, and what is unusual."""
    if asked.data is not None:
        return _absent(output, (r"rows: \d+ days: \d+", r"gaps: \d+", r"unusual half hours: \d+"))
    rows = asked.whole()
    days = -(-rows // HALF_HOURS_A_DAY)
    patterns = (f"rows: {rows} days: {days}", "gaps: 0", "without a value: 0", r"unusual half hours: \d+")
    return _absent(output, patterns)


def _absent(output: str, patterns: Sequence[str]) -> list[str]:
    """Return a sentence for each pattern that no line matches wholly, each looked for behind the one before."""
    lines: Iterable[str] = iter(output.splitlines())
    for pattern in patterns:
        if not any(re.fullmatch(pattern, line) for line in lines):
            return [f"no line in its place reads {pattern}"]
    return []
