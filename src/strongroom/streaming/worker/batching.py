"""Records into runs of the model, and its outputs back to records. Pure but for the model it is handed.

One run for all instances that have names and shapes in common; a run that fails is made again record by record, so
that the good ones succeed (defect D9 of the original). Source: spec `cluster-serving.md` section 11.1.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from strongroom.clusterserving.values import Array, Outputs

Run: TypeAlias = Callable[[Mapping[str, Array]], Awaitable[Mapping[str, Array]]]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Instances that stay together, ready to run: arrays by the model's names with the batch dimension first.

    `size`: rows in them. `added`: the batch dimension is ours, and results come without it.
    """

    arrays: Mapping[str, Array]
    size: int = 1
    added: bool = True

    @property
    def key(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """What those that may share a run have in common; their types are the model's already."""
        return tuple((name, array.shape[1:]) for name, array in self.arrays.items())


@dataclass(slots=True, eq=False)
class Work:
    """One record's instances, and then either its outputs or why it has none."""

    rows: Sequence[Row]
    outputs: Outputs | None = None
    problem: Exception | None = None
    parts: list[Outputs | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make room for each instance's outputs."""
        self.parts = [None] * len(self.rows)


class _NotPerRow(Exception):
    """An output has not one row for each row that went in."""


async def run_all(works: Sequence[Work], run: Run, *, batchable: bool, most_rows: int) -> None:
    """Run everything, and leave outputs or the problem in each work. Raises nothing but what is no Exception."""
    for group in groups_of(works, batchable=batchable, most_rows=most_rows):
        try:
            await _run_group(group, run)
        except Exception as problem:  # noqa: BLE001  # an engine may raise anything, and each record has to be answered
            await _one_by_one(group, run, problem)
    for work in works:
        _finish(work)


def groups_of(works: Iterable[Work], *, batchable: bool, most_rows: int) -> list[list[tuple[Work, int]]]:
    """Return what may share a run in groups, in the order of its coming; only one that is larger passes `most_rows`."""
    found: list[list[tuple[Work, int]]] = []
    open_groups: dict[object, tuple[list[tuple[Work, int]], int]] = {}
    for work in works:
        for at, row in enumerate(work.rows):
            group, size = open_groups.get(row.key, ([], 0)) if batchable else ([], 0)
            if group and size + row.size > most_rows:
                group, size = [], 0
            if not group:
                found.append(group)
            group.append((work, at))
            open_groups[row.key] = (group, size + row.size)
    return found


async def _run_group(group: Sequence[tuple[Work, int]], run: Run) -> None:
    rows = [work.rows[at] for work, at in group]
    if len(rows) == 1:
        work, at = group[0]
        work.parts[at] = _single(await run(rows[0].arrays), rows[0])
        return
    inputs = {name: np.concatenate([row.arrays[name] for row in rows]) for name in rows[0].arrays}
    outputs = await run(inputs)
    total = sum(row.size for row in rows)
    if any(array.ndim == 0 or array.shape[0] != total for array in outputs.values()):
        raise _NotPerRow
    start = 0
    for (work, at), row in zip(group, rows, strict=True):
        end = start + row.size
        work.parts[at] = {name: array[start, ...] if row.added else array[start:end] for name, array in outputs.items()}
        start = end


async def _one_by_one(group: Sequence[tuple[Work, int]], run: Run, problem: Exception) -> None:
    if len(group) == 1:
        group[0][0].problem = problem
        return
    for work, at in group:
        if work.problem is not None:
            continue  # another instance of the same record failed
        try:
            work.parts[at] = _single(await run(work.rows[at].arrays), work.rows[at])
        except Exception as alone:  # noqa: BLE001  # as above
            work.problem = alone


def _single(outputs: Mapping[str, Array], row: Row) -> Outputs:
    """Return one instance's own outputs, without the batch dimension where that is not the client's."""
    if not row.added:
        return outputs
    return {name: array[0, ...] if array.ndim and array.shape[0] == 1 else array for name, array in outputs.items()}


def _finish(work: Work) -> None:
    """Put the instances of a record together: one stays as it is, several become rows."""
    if work.problem is not None:
        return
    parts = [part for part in work.parts if part is not None]
    if len(parts) == 1:
        work.outputs = parts[0]
        return
    join = np.stack if work.rows[0].added else np.concatenate
    try:
        work.outputs = {name: join([part[name] for part in parts]) for name in parts[0]}
    except ValueError as problem:  # outputs whose sizes depend on the instance
        work.problem = problem
