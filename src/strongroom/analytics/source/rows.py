"""One file of a data set as batches of the schema that Spark was told, verified block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import RawIOBase

import pyarrow as pa

from strongroom.analytics.source import decode, parquet_file
from strongroom.analytics.source.columns import arrange
from strongroom.analytics.source.faults import BadSourceOption
from strongroom.analytics.source.filters import Pushed, matching
from strongroom.analytics.source.options import Options
from strongroom.datasets.manifest import Kind


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is read from every file. `names`: all columns of the data set, for files that do not name them."""

    kind: Kind
    target: pa.Schema
    names: tuple[str, ...]
    filters: tuple[Pushed, ...]
    options: Options


def rows(stream: RawIOBase, wanted: Wanted, groups: Sequence[int] | None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of an open file for which all filters are true. Raises BadRows and what the stream raises."""
    for batch in _read(stream, wanted, groups):
        found = matching(arrange(batch, wanted.target, zone=wanted.options.time_zone), wanted.filters)
        if found.num_rows:
            yield found


def _read(stream: RawIOBase, wanted: Wanted, groups: Sequence[int] | None) -> Iterator[pa.RecordBatch]:
    if wanted.kind is Kind.PARQUET:
        file = parquet_file.open_parquet(stream)
        chosen = parquet_file.row_groups(file, wanted.filters, groups)
        yield from (batch for _group, batch in parquet_file.batches(file, wanted.target.names, chosen))
    elif wanted.kind is Kind.CSV:
        yield from decode.read_csv(stream, wanted.options, wanted.target, wanted.names)
    elif wanted.kind is Kind.JSON:
        yield from decode.read_json(stream, wanted.target)
    elif wanted.kind is Kind.TEXT:
        yield from decode.read_text(stream)
    else:
        raise BadSourceOption("the data set is plain files; say of which kind (kind=csv, json, text or parquet)")
