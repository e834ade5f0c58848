"""The examples by name: the program, what it works on, and what it has to print.

World: `prepare` of an entry writes what the example works on into the folder of the run.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

from strongroom.analytics.examples import checks, data
from strongroom.analytics.examples.asked import Asked
from strongroom.analytics.examples.checks import Check
from strongroom.analytics.examples.entry import Example, Form, Prepare, Prepared, Sealing
from strongroom.analytics.examples.learning_entries import LEARNING
from strongroom.errors import BadInput


class UnknownExample(BadInput):
    """There is no example of this name."""

    code = "SR-EXAMPLE-NAME"
    fix = "See the names with strongroom spark example --list."


def _fixed(check: Check) -> Prepare:
    return lambda asked, folder, programs: Prepared((), check)  # noqa: ARG005  # nothing to get ready


def _matrix(asked: Asked, folder: Path, programs: Path) -> Prepared:
    del folder, programs
    return Prepared((str(asked.whole(most=16_384)), str(asked.seed)), checks.matrix_product)


def _pi(asked: Asked, folder: Path, programs: Path) -> Prepared:
    del folder, programs
    points = asked.whole(most=2_000_000_000)
    return Prepared((str(checks.PARTITIONS), str(asked.seed), str(points)), checks.pi)


def _words(asked: Asked, folder: Path, programs: Path) -> Prepared:
    path = data.text(asked, folder, otherwise=programs / "helloworld.py")
    return Prepared((str(path),), checks.words(data.counted(path)))


def _people(asked: Asked, folder: Path, programs: Path) -> Prepared:
    return Prepared((str(data.people(asked, folder, otherwise=programs)),), checks.sql_basics)


def _tables(asked: Asked, folder: Path, programs: Path) -> Prepared:
    del programs
    return Prepared((str(data.tables(asked, folder)),), checks.tpch)


def _half_hours(check: Check) -> Prepare:
    return lambda asked, folder, programs: Prepared((str(data.half_hours(asked, folder)),), check)  # noqa: ARG005


EXAMPLES: Final = (
    Example(
        name="helloworld", summary="say hello from plain Python", program="helloworld.py", spark=False,
        prepare=_fixed(checks.hello),
    ),
    Example(
        name="numpy", summary="multiply two matrices with NumPy", program="matrix_product.py", spark=False,
        prepare=_matrix, size=512, unit="rows and columns",
    ),
    Example(
        name="pi", summary="estimate Pi with Python workers", program="pi.py",
        prepare=_pi, size=100_000, unit="points in each of 4 partitions",
    ),
    Example(
        name="pi-jvm", summary="estimate Pi on the JVM (--class)", program="java",
        prepare=_pi, size=1_000_000, unit="points in each of 4 partitions", main_class="strongroom.examples.SparkPi",
    ),
    Example(
        name="wordcount", summary="count the words of a text", program="wordcount.py",
        prepare=_words, size=0, unit="generated lines (0: helloworld.py)", data="a text file",
        sealing=Sealing(),
    ),
    Example(
        name="sql", summary="columns, filters, groups, views and schemas", program="sql_basics.py",
        prepare=_people, size=0, unit="generated people behind Justin", data="a folder with people.json, people.txt",
        sealing=Sealing(parts=("people.json", "people.txt")),
    ),
    Example(
        name="tpch", summary="22 queries derived from TPC-H", program="tpch.py",
        prepare=_tables, size=0.01, unit="scale", data="a folder with customer.parquet to supplier.parquet",
        sealing=Sealing(parts=tuple(f"{table}.parquet" for table in data.TABLES), form=Form.PARQUET),
    ),
    Example(
        name="time-series", summary="prepare a half-hourly series for learning", program="time_series.py",
        prepare=_half_hours(checks.time_series), size=10_320, unit="half hours",
        data="a CSV file with timestamp and value, such as nyc_taxi.csv", sealing=Sealing(),
    ),
    Example(
        name="exploration", summary="look into a half-hourly series", program="exploration.py",
        prepare=_half_hours(checks.exploration), size=10_320, unit="half hours",
        data="a CSV file with timestamp and value, such as nyc_taxi.csv", sealing=Sealing(),
    ),
    *LEARNING,
)  # fmt: skip


def find(name: str) -> Example:
    """Return the example of this name. Raises UnknownExample."""
    known = {example.name: example for example in EXAMPLES}
    if name not in known:
        close = difflib.get_close_matches(name[:100], known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UnknownExample(f"there is no example {name[:100]!r}{hint}")
    return known[name]
