"""The schema of a data set: the one that was asked for, the one in its manifest, or what its files say.

As Spark does without a schema, CSV is all text (or inferred, inferSchema=true) and JSON is inferred; what Strongroom
and Spark disagree on is that only the first block of the first file is looked at.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import ArrayType, DataType, MapType, StringType, StructField, StructType

from strongroom.analytics.source import decode, parquet_file
from strongroom.analytics.source.ddl import choose, quoted
from strongroom.analytics.source.faults import BadSourceOption, in_file
from strongroom.analytics.source.options import Options
from strongroom.analytics.source.plan import Planned, open_file
from strongroom.datasets.manifest import FileEntry, Kind
from strongroom.errors import StrongroomError

if TYPE_CHECKING:
    from strongroom.analytics.sealing.folder import Folder
    from strongroom.sealing.reader import SealedReader


def full_schema(folder: Folder, planned: Planned, options: Options) -> str:
    """Return all columns of a data set as DDL. Raises BadSourceOption, BadRows and as opening a file does."""
    kind = kind_of(planned, options)
    if options.schema or planned.schema:
        return options.schema or planned.schema
    if kind is Kind.TEXT:
        return f"{decode.TEXT_COLUMN} STRING"
    found: dict[str, StructField] = {}
    for entry in planned.manifest.files:
        for field in _of_file(folder, planned, options, entry):
            known = found.setdefault(field.name, field)
            if known.dataType != field.dataType:
                raise BadSourceOption(f"column {field.name} is of another type in {entry.path} than before it")
        if found and not (options.merge_schema and kind is Kind.PARQUET):
            break
    if not found:
        raise BadSourceOption(f"data set {planned.manifest.name} has no rows that say a schema; give one (schema)")
    return to_ddl(StructType(list(found.values())))


def chosen_schema(full: str, options: Options) -> str:
    """Return the columns that were asked for. Raises BadSourceOption."""
    return choose(full, options.columns) if options.columns else full


def kind_of(planned: Planned, options: Options) -> Kind:
    """Return the kind of the files. Raises BadSourceOption where the option says another than the manifest."""
    written = planned.manifest.kind
    if options.kind is None or options.kind is written:
        return written
    if written is not Kind.FILE:
        raise BadSourceOption(f"data set {planned.manifest.name} is {written}, not {options.kind}")
    return options.kind


def to_ddl(schema: StructType) -> str:
    """Return a schema as DDL, without asking a JVM."""
    return ", ".join(_column(field, " ") for field in schema.fields)


def _column(field: StructField, between: str) -> str:
    required = "" if field.nullable else " NOT NULL"
    return f"{quoted(field.name)}{between}{_type(field.dataType)}{required}"


def _type(kind: DataType) -> str:
    if isinstance(kind, StructType):
        return f"STRUCT<{', '.join(_column(field, ': ') for field in kind.fields)}>"
    if isinstance(kind, ArrayType):
        return f"ARRAY<{_type(kind.elementType)}>"
    if isinstance(kind, MapType):
        return f"MAP<{_type(kind.keyType)}, {_type(kind.valueType)}>"
    return kind.simpleString().upper()


def _of_file(folder: Folder, planned: Planned, options: Options, entry: FileEntry) -> list[StructField]:
    try:
        with open_file(folder, entry, planned.data_key) as stream:
            found = _fields(stream, kind_of(planned, options), options)
    except StrongroomError as problem:
        raise in_file(problem, planned.manifest.name, entry.path) from None
    return [StructField(field.name, _known(field.dataType)) for field in found]


def _fields(stream: SealedReader, kind: Kind, options: Options) -> list[StructField]:
    if not stream.size:
        return []
    if kind is Kind.PARQUET:
        found = parquet_file.open_parquet(stream).schema_arrow
    elif kind is Kind.JSON:
        found = _first(decode.read_json(stream, None))
        found = pa.schema(sorted(found, key=lambda field: str(field.name)))  # as Spark does
    elif kind is Kind.CSV:
        found = _csv(stream, options)
    else:
        raise BadSourceOption("the data set is plain files; say of which kind (kind=csv, json, text or parquet)")
    return list(from_arrow_schema(found.remove_metadata(), prefer_timestamp_ntz=False).fields)


def _csv(stream: SealedReader, options: Options) -> pa.Schema:
    found = _first(decode.read_csv(stream, options, None, ()))
    if not options.header:
        found = pa.schema([(f"_c{at}", field.type) for at, field in enumerate(found)])
    return found if options.infer_schema else pa.schema([(field.name, pa.string()) for field in found])


def _first(batches: object) -> pa.Schema:
    found = list(islice(batches, 1))  # type: ignore[call-overload]  # batches come from Arrow, which has no types
    return found[0].schema if found else pa.schema([])


def _known(kind: DataType) -> DataType:
    return StringType() if kind.simpleString() == "void" else kind
