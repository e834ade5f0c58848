"""What an example is: its program, how its arguments are got ready, and the check of what it prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from strongroom.analytics.examples.asked import Asked
from strongroom.analytics.examples.checks import Check


@dataclass(frozen=True, slots=True)
class Prepared:
    """The program's arguments, and the check that fits what it will work on.

    `source` names real data or their stand-in.
    """

    arguments: tuple[str, ...]
    check: Check
    source: str = ""


Prepare = Callable[[Asked, Path, Path], Prepared]  # what was asked, a folder to write to, the folder of the programs


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example. `size` is what is run unless another size is asked for, in `unit`; None where there is none.

    `main_class` is set for programs of the JVM, whose `program` is a folder of Java sources; `spark` is false for plain
    Python.
    """

    name: str
    summary: str
    program: str
    prepare: Prepare
    size: float | None = None
    unit: str = ""
    data: str = "none"
    spark: bool = True
    main_class: str | None = None
