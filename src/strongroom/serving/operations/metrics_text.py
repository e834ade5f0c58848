"""Counted values as Prometheus reads them, and the sum of what several processes counted. Pure.

Source: Prometheus' exposition format 0.0.4; names and numbers as TensorFlow Serving prints them (spec section 9).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import Any, Final, TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
_NOT_IN_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
CONTENT_TYPE: Final = "text/plain"


class Kind(StrEnum):
    """How a metric is read."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Cell:
    """One line, or one histogram: `value` is its sum then, `counts` the observations up to each of `bounds`."""

    labels: Labels
    value: float
    counts: tuple[int, ...] = ()
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """All cells of one metric."""

    name: str
    kind: Kind
    cells: tuple[Cell, ...]

    def to_json(self) -> list[Any]:
        """Return the family as plain JSON values, for a sibling process."""
        return [self.name, self.kind, [[c.labels, c.value, c.counts, c.bounds] for c in self.cells]]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> Family:
        """Read what `to_json` wrote."""
        name, kind, cells = value
        return cls(
            name,
            Kind(kind),
            tuple(
                Cell(tuple((str(k), str(v)) for k, v in labels), float(total), tuple(counts), tuple(bounds))
                for labels, total, counts, bounds in cells
            ),
        )


def summed(parts: Iterable[Sequence[Family]]) -> list[Family]:
    """Return what several processes counted as one: cells with equal labels are added."""
    kinds: dict[str, Kind] = {}
    totals: dict[str, dict[Labels, Cell]] = {}
    for part in parts:
        for family in part:
            kinds.setdefault(family.name, family.kind)
            cells = totals.setdefault(family.name, {})
            for cell in family.cells:
                cells[cell.labels] = _plus(cells[cell.labels], cell) if cell.labels in cells else cell
    return [Family(name, kinds[name], tuple(cells.values())) for name, cells in totals.items()]


def exposition(families: Iterable[Family]) -> str:
    """Return the text; families without a cell are left out."""
    lines: list[str] = []
    for family in families:
        if family.cells:
            name = prometheus_name(family.name)
            lines.append(f"# TYPE {name} {family.kind}")
            for cell in family.cells:
                lines.extend(_histogram(name, cell) if family.kind is Kind.HISTOGRAM else [_line(name, cell)])
    return "\n".join(lines) + "\n"


def prometheus_name(registry_name: str) -> str:
    """Return a registry name as TensorFlow Serving shows it: `/tensorflow/serving/x` is `:tensorflow:serving:x`."""
    return _NOT_IN_NAME.sub(":", registry_name)


def _plus(left: Cell, right: Cell) -> Cell:
    counts = tuple(map(sum, zip(left.counts, right.counts, strict=True)))
    return Cell(left.labels, left.value + right.value, counts, left.bounds)


def _line(name: str, cell: Cell) -> str:
    return f"{name}{_labels(cell.labels)} {_number(cell.value)}"


def _histogram(name: str, cell: Cell) -> list[str]:
    bounds = [*(f"{bound:.6g}" for bound in cell.bounds), "+Inf"]
    lines = [
        f"{name}_bucket{_labels((*cell.labels, ('le', bound)))} {below}"
        for bound, below in zip(bounds, accumulate(cell.counts), strict=True)
    ]
    shown = _labels(cell.labels)
    return [*lines, f"{name}_sum{shown} {_number(cell.value)}", f"{name}_count{shown} {sum(cell.counts)}"]


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{_NOT_IN_NAME.sub("_", key)}="{value.translate(_ESCAPES)}"' for key, value in labels)
    return f"{{{inner}}}" if inner else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
