"""The schema of a data set: the one that was asked for, the one in its manifest, or what its files say.

As Spark does without a schema, CSV is all text (or inferred, inferSchema=true) and JSON is inferred; what Strongroom
and Spark disagree on is that only the first block of the first file is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import RawIOBase

import pyarrow as pa
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import ArrayType, DataType, MapType, StringType, StructField, StructType

from strongroom.analytics.sealing.read import OpenDataset
from strongroom.analytics.source.ddl import choose, quoted
from strongroom.analytics.source.decode import TEXT_COLUMN
from strongroom.analytics.source.decode_csv import first_row, read_csv
from strongroom.analytics.source.decode_json import read_json
from strongroom.analytics.source.faults import BadRows, BadSourceOption
from strongroom.analytics.source.options import Options
from strongroom.analytics.source.partitions import fields_of
from strongroom.analytics.source.plan import keys_of
from strongroom.analytics.source.rows import Files
from strongroom.datasets.manifest import FileEntry, Kind, Manifest


def full_schema(found: OpenDataset, options: Options) -> str:
    """Return all columns of a data set as DDL. Raises BadSourceOption, BadRows and as opening a file does."""
    kind = kind_of(found.manifest, options)
    written = options.schema or found.schema
    if written:
        return written
    if kind is Kind.TEXT:
        return f"{TEXT_COLUMN} STRING"
    columns: dict[str, StructField] = {}
    with keys_of(options) as keys:
        files = Files(options, found.manifest.name, found.data_key, found.manifest.pins, keys)
        for entry in found.files:
            for field in _fields(files, entry, kind, options):
                if columns.setdefault(field.name, field).dataType != field.dataType:
                    raise BadSourceOption(f"column {field.name} is of another type in {entry.path} than before it")
            if columns and not (options.merge_schema and kind is Kind.PARQUET):
                break
    if not columns:
        raise BadSourceOption(f"data set {found.manifest.name} has no rows that say a schema; give one (schema)")
    for field in fields_of(entry.path for entry in found.files):
        columns.setdefault(field.name, field)
    return to_ddl(StructType(list(columns.values())))


def chosen_schema(full: str, options: Options) -> str:
    """Return the columns that were asked for. Raises BadSourceOption."""
    return choose(full, options.columns) if options.columns else full


def kind_of(manifest: Manifest, options: Options) -> Kind:
    """Return the kind of the files. Raises BadSourceOption where options say another than the manifest."""
    if options.kind not in (None, manifest.kind) and manifest.kind is not Kind.FILE:
        raise BadSourceOption(f"data set {manifest.name} is {manifest.kind}, not {options.kind}")
    kind = options.kind or manifest.kind
    options.fit(kind)
    return kind


def to_ddl(schema: StructType) -> str:
    """Return a schema as DDL, without asking a JVM. What is in a struct can be null, as Spark has it in files."""
    return ", ".join(
        f"{quoted(field.name)} {_type(field.dataType)}{'' if field.nullable else ' NOT NULL'}"
        for field in schema.fields
    )


def _type(kind: DataType) -> str:
    if isinstance(kind, StructType):
        return f"STRUCT<{', '.join(f'{quoted(field.name)}: {_type(field.dataType)}' for field in kind.fields)}>"
    if isinstance(kind, ArrayType):
        return f"ARRAY<{_type(kind.elementType)}>"
    if isinstance(kind, MapType):
        return f"MAP<{_type(kind.keyType)}, {_type(kind.valueType)}>"
    return kind.simpleString().upper()


def _fields(files: Files, entry: FileEntry, kind: Kind, options: Options) -> list[StructField]:
    if kind is Kind.PARQUET:
        found = files.parquet_schema(entry)
    else:
        with files.open(entry) as stream:
            found = _of_rows(stream, kind, options)
    # Parquet says whether a time is an instant; other kinds' times without an offset are where `timeZone` says.
    fields = from_arrow_schema(found.remove_metadata(), prefer_timestamp_ntz=kind is Kind.PARQUET).fields
    return [StructField(field.name, _known(field.dataType)) for field in fields]


def _of_rows(stream: RawIOBase, kind: Kind, options: Options) -> pa.Schema:
    if not stream.seek(0, 2):
        return pa.schema([])
    stream.seek(0)
    if kind is Kind.JSON:
        found = sorted(_first(read_json(stream, None)), key=lambda field: str(field.name))  # as Spark, which takes
        return pa.schema([pa.field(field.name, _text_for_times(field.type)) for field in found])  # times for texts
    if kind is Kind.CSV:
        return _csv(stream, options)
    raise BadSourceOption("the data set is plain files; say of which kind (kind=csv, json, text or parquet)")


def _csv(stream: RawIOBase, options: Options) -> pa.Schema:
    found = _first(read_csv(stream, options, None, ())) if options.infer_schema else pa.schema([])
    if not len(found):
        names = first_row(stream, options)
        found = pa.schema([(name if options.header else f"_c{at}", pa.string()) for at, name in enumerate(names)])
    if len({name.strip().lower() for name in found.names}) < len(found):
        raise BadRows("the header has a column more than once")
    return pa.schema([(field.name, pa.string() if pa.types.is_time(field.type) else field.type) for field in found])


def _text_for_times(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _text_for_times(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_text_for_times(kind.value_type))
    return pa.string() if pa.types.is_temporal(kind) else kind


def _first(batches: Iterator[pa.RecordBatch]) -> pa.Schema:
    found = next(batches, None)
    return pa.schema([]) if found is None else found.schema


def _known(kind: DataType) -> DataType:
    return StringType() if kind.simpleString() == "void" else kind
