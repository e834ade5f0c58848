"""A Parquet file, in a sealed one or under Parquet's own encryption: the batches of wanted columns and row groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import RawIOBase
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.source.calendars import check_days, former_days, former_int96
from strongroom.analytics.source.columns import same_names
from strongroom.analytics.source.denied import DenialNoted
from strongroom.analytics.source.faults import BadRows, ColumnDenied
from strongroom.analytics.source.filters import Pushed
from strongroom.errors import StrongroomError

_INSTANT: Final = pa.timestamp("us", "UTC")
BATCH_ROWS: Final = 16_384  # larger batches cost more in fresh pages than they save


class ParquetRows:
    """One open file. `keys`: for Parquet's own encryption, None for a file that is clear inside of a sealed one."""

    def __init__(self, stream: RawIOBase, keys: KeyService | None, *, null_if_denied: bool = False) -> None:
        self._noted: Final = DenialNoted(keys) if keys is not None else None
        self._null_if_denied: Final = null_if_denied
        with _Refusals("it cannot be read as Parquet", self._noted):
            self._file: Final = pq.ParquetFile(
                stream, decryption_properties=self._decryption(), pre_buffer=False,
                coerce_int96_timestamp_unit="us",  # nanoseconds end in the year 2262
            )  # fmt: skip

            footer = self._file.metadata.metadata
        leaves = [self._file.schema.column(at) for at in range(len(self._file.schema))]
        self._int96: Final = frozenset(leaf.path for leaf in leaves if leaf.physical_type == "INT96")
        self._former_days: Final = former_days(footer)
        self._former_int96: Final = former_int96(footer)

    @property
    def schema(self) -> pa.Schema:
        """The file's columns."""
        found = self._file.schema_arrow
        for name in self._int96 & set(found.names):
            found = found.set(found.get_field_index(name), pa.field(name, _INSTANT))
        return found

    def groups(self, filters: Sequence[Pushed], chosen: Sequence[int] | None) -> list[int]:
        """Return the row groups, among the chosen ones, whose statistics do not exclude the filters."""
        wanted = range(self._file.metadata.num_row_groups) if chosen is None else chosen
        if not filters or self._noted is not None:  # statistics are encrypted with their columns
            return list(wanted)
        places = {self._file.schema.column(at).path: at for at in range(len(self._file.schema))}
        return [group for group in wanted if all(self._may(group, places.get(each.column), each) for each in filters)]

    def batches(self, columns: Sequence[str], groups: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """Yield rows of the columns that the file has, under its names for them, which can differ in case.

        Raises BadRows, ColumnDenied, KeyNotGranted, Tampered.
        """
        there = same_names(self.schema.names, columns)
        if self._noted is not None and groups:
            there = self._granted(there, groups[0])
        for group in groups:
            with _Refusals(f"row group {group} cannot be read", self._noted):
                for batch in self._file.iter_batches(
                    batch_size=BATCH_ROWS, row_groups=[group], columns=there, use_threads=False
                ):
                    yield self._in_our_calendar(self._with_instants(batch))

    def _with_instants(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch whose INT96 columns, which Spark writes, are instants whatever the session's zone."""
        for name in self._int96 & set(batch.schema.names):
            at = batch.schema.get_field_index(name)
            batch = batch.set_column(at, pa.field(name, _INSTANT), batch.column(at).cast(_INSTANT))
        return batch

    def _in_our_calendar(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if self._former_int96 if name in self._int96 else self._former_days:
                check_days(name, column)
        return batch

    def _granted(self, columns: Sequence[str], group: int) -> list[str]:
        """Return the columns whose keys we were given. Raises ColumnDenied for another one, unless nulls are wanted."""
        assert self._noted is not None  # noqa: S101 - for the type checker: the caller looked
        granted = []
        for name in columns:
            self._noted.refused.clear()
            try:
                with _Refusals(f"row group {group}, column {name} cannot be read", self._noted):
                    next(self._file.iter_batches(batch_size=1, row_groups=[group], columns=[name]), None)
                granted.append(name)
            except ColumnDenied as problem:
                if not self._null_if_denied:
                    raise ColumnDenied(f"column {name}: {problem.sentence}") from None
        self._noted.refused.clear()
        return granted

    def _may(self, group: int, at: int | None, each: Pushed) -> bool:
        if at is None:
            return True  # nested, or absent: then it is nulls
        statistics = self._file.metadata.row_group(group).column(at).statistics
        if statistics is None or not statistics.has_min_max:
            return True
        try:
            return each.may_match(statistics.min, statistics.max)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return True  # bounds of another type than the schema's say nothing

    def _decryption(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        if self._noted is None:
            return None
        from strongroom.analytics.parquet.arrow import decryption

        return decryption(self._noted)


class _Refusals:
    """Turns Arrow's errors, which can show values, into ours."""

    def __init__(self, sentence: str, noted: DenialNoted | None) -> None:
        self._sentence: Final = sentence
        self._noted: Final = noted

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, problem: BaseException | None, _trace: object) -> None:
        if self._noted is not None and self._noted.refused and isinstance(problem, Exception):
            raise ColumnDenied(f"primary key {self._noted.refused[-1].name} was not released to this job") from None
        if isinstance(problem, StrongroomError):
            raise type(problem)(f"{self._sentence}: {problem.sentence}", fix=problem.fix) from None
        if isinstance(problem, pa.ArrowException | OSError):
            raise BadRows(self._sentence) from None
