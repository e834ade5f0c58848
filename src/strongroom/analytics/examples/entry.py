"""What an example is: its program, how its arguments are got ready, and the check of what it prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
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


class Form(StrEnum):
    """How data is encrypted."""

    SEALED = "sealed"  # the one sealed-file format; the program is told --format sealed
    PARQUET = "parquet"  # Parquet's own encryption; the program is told nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """How what a program's first argument names becomes data sets: as one, or each of `parts` below it by itself."""

    parts: tuple[str, ...] = ()
    form: Form = Form.SEALED


Prepare = Callable[[Asked, Path, Path], Prepared]  # what was asked, a folder to write to, the folder of the programs


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example. `size` is what is run unless another size is asked for, in `unit`; None where there is none.

    `main_class` is set for programs of the JVM, whose `program` is a folder of Java sources; `spark` is false for plain
    Python. `sealing` is None where there are no data to encrypt.
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
    sealing: Sealing | None = None
