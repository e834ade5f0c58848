"""Parquet inside of a sealed file: row groups that can match, as batches of the columns that are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import RawIOBase

import pyarrow as pa
import pyarrow.parquet as pq

from strongroom.analytics.source.faults import BadRows
from strongroom.analytics.source.filters import Pushed
from strongroom.errors import StrongroomError

BATCH_ROWS = 65_536


def open_parquet(stream: RawIOBase, decryption: object = None) -> pq.ParquetFile:
    """Return a Parquet file of a stream that can seek. Raises BadRows."""
    try:
        return pq.ParquetFile(stream, decryption_properties=decryption, pre_buffer=False)
    except StrongroomError:
        raise
    except (pa.ArrowException, OSError):
        raise BadRows("it is no Parquet file") from None


def row_groups(file: pq.ParquetFile, filters: Sequence[Pushed], chosen: Sequence[int] | None) -> list[int]:
    """Return the row groups, among the chosen ones, whose statistics do not exclude the filters."""
    wanted = range(file.metadata.num_row_groups) if chosen is None else chosen
    if not filters:
        return list(wanted)
    places = {file.schema.column(at).path: at for at in range(len(file.schema))}
    return [group for group in wanted if all(_may(file, group, places, each) for each in filters)]


def batches(
    file: pq.ParquetFile, columns: Sequence[str], groups: Sequence[int]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the row group and the rows of each batch; columns that the file has not are left out. Raises BadRows."""
    there = [name for name in columns if name in file.schema_arrow.names]
    for group in groups:
        try:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=there, use_threads=False):
                yield group, batch
        except StrongroomError as problem:
            raise type(problem)(f"row group {group}: {problem.sentence}") from None
        except (pa.ArrowException, OSError):
            raise BadRows(f"row group {group} cannot be read") from None


def _may(file: pq.ParquetFile, group: int, places: dict[str, int], each: Pushed) -> bool:
    at = places.get(each.column)
    if at is None:
        return True  # nested, or absent: then it is nulls
    statistics = file.metadata.row_group(group).column(at).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    try:
        return each.may_match(statistics.min, statistics.max)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return True  # bounds of another type than the schema's say nothing
