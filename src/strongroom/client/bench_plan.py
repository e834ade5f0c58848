"""Which loads to measure: lists of concurrent tasks and of images a request, as a whole matrix or as its two edges."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

MAX_TASKS: Final = 4096
MAX_BATCH: Final = 4096
MAX_CELLS: Final = 256
_NUMBER: Final = re.compile(r"[0-9]{1,6}")

Cell = tuple[int, int]  # tasks, images a request


class Plan(StrEnum):
    """How two lists become loads: every pair; or each list alone, the other at its first number, as the seeds did."""

    MATRIX = "matrix"
    EDGES = "edges"


def numbers(text: str, *, most: int) -> tuple[int, ...]:
    """Return the numbers of "1,16,64" or "1..64"; a range doubles and ends with its end. Raises ValueError."""
    found: list[int] = []
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        if not _NUMBER.fullmatch(first) or (dots and not _NUMBER.fullmatch(last)):
            raise ValueError(f"{text[:80]!r} is no list of numbers like 1,16,64 or 1..64")
        low, high = int(first), int(last or first)
        if not 1 <= low <= high <= most:
            raise ValueError(f"{part.strip()!r} is not within 1 to {most}")
        while low < high:
            found.append(low)
            low *= 2
        found.append(high)
    return tuple(dict.fromkeys(found))


def cells(cnum: tuple[int, ...], batch: tuple[int, ...], plan: Plan) -> tuple[Cell, ...]:
    """Return the loads in the order they run, each once. Raises ValueError for more than 256."""
    if plan is Plan.MATRIX:
        found = [(tasks, images) for images in batch for tasks in cnum]
    else:
        found = [*((tasks, batch[0]) for tasks in cnum), *((cnum[0], images) for images in batch)]
    made = tuple(dict.fromkeys(found))
    if len(made) > MAX_CELLS:
        raise ValueError(f"{len(made)} loads are more than {MAX_CELLS}")
    return made
