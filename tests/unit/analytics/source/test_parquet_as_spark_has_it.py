"""Sealed Parquet of others, and nested columns: what Spark's own reader and writer make of them."""

import datetime as dt
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strongroom.analytics.source.faults import BadRows
from strongroom.datasets.manifest import Kind

NIGHT = dt.datetime.fromisoformat("2024-03-10T02:30:00")  # an hour that was none in New York
OLD = {"org.apache.spark.version": "4.0.0", "org.apache.spark.legacyDateTime": ""}


def parquet(table, **options):
    stream = BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def test_times_without_a_zone_are_none_of_the_sessions_zone(spark_like):
    times = pa.table({"at": pa.array([NIGHT], pa.timestamp("us"))})
    spark_like.seal(parquet(times), "a.parquet", Kind.PARQUET)
    assert spark_like.schema() == "`at` TIMESTAMP_NTZ"
    assert spark_like.rows(times.schema) == times.to_pylist()


def test_int96_is_an_instant_though_it_has_no_zone(spark_like):
    times = pa.table({"at": pa.array([NIGHT], pa.timestamp("us"))})
    spark_like.seal(parquet(times, use_deprecated_int96_timestamps=True), "a.parquet", Kind.PARQUET)
    assert spark_like.schema() == "`at` TIMESTAMP"


def test_a_column_is_found_whatever_the_case_of_its_name(spark_like):
    inner = pa.struct([("City", pa.string())])
    written = pa.table({"Id": [1], "home": pa.array([{"City": "Bonn"}], inner)})
    spark_like.seal(parquet(written), "a.parquet", Kind.PARQUET)
    asked = pa.schema([("HOME", pa.struct([("city", pa.string())])), ("id", pa.int64()), ("none", pa.string())])
    assert spark_like.rows(asked) == [{"HOME": {"city": "Bonn"}, "id": 1, "none": None}]


def test_of_two_columns_that_differ_in_case_the_very_name_counts_and_another_is_refused(spark_like):
    spark_like.seal(parquet(pa.table({"a": [1], "A": [2]})), "a.parquet", Kind.PARQUET)
    assert spark_like.rows(pa.schema([("A", pa.int64())])) == [{"A": 2}]
    wide = pa.table({"ab": [1], "AB": [2]})
    (spark_like.folder / "a.parquet").unlink()
    (spark_like.folder / "_strongroom.json").unlink()
    spark_like.seal(parquet(wide), "b.parquet", Kind.PARQUET)
    with pytest.raises(BadRows, match="column aB is there 2 times"):
        spark_like.rows(pa.schema([("aB", pa.int64())]))


@pytest.mark.parametrize(
    "old",
    [
        pa.array([dt.date(1582, 10, 14)]),
        pa.array([[{"on": dt.date(1200, 2, 28)}]], pa.list_(pa.struct([("on", pa.date32())]))),
        pa.array([[("k", dt.date(1200, 2, 28))]], pa.map_(pa.string(), pa.date32())),
        pa.array([dt.datetime(1899, 12, 31, tzinfo=dt.UTC)], pa.timestamp("us", "UTC")),
        pa.array([dt.datetime(1899, 12, 31, tzinfo=dt.UTC)], pa.timestamp("ms", "UTC")),
    ],
    ids=["date", "in-a-list", "in-a-map", "instant", "milliseconds"],
)
@pytest.mark.parametrize("said", [OLD, {"org.apache.spark.version": "2.4.8"}], ids=["flag", "version"])
def test_old_days_in_sparks_former_calendar_are_refused_not_shifted(spark_like, old, said):
    table = pa.table({"x": old})
    spark_like.seal(parquet(table.replace_schema_metadata(said)), "a.parquet", Kind.PARQUET)
    with pytest.raises(BadRows, match="column x has days of a calendar that Spark gave up") as refused:
        spark_like.rows(table.schema)
    assert "CORRECTED" in refused.value.fix


@pytest.mark.parametrize("said", [{"org.apache.spark.version": "3.5.1"}, {}], ids=["new", "others"])
def test_old_days_in_our_calendar_are_read(spark_like, said):
    table = pa.table({"x": [dt.date(1582, 10, 14), None], "t": pa.array([None, dt.datetime.fromisoformat("1200-01-01")],
                                                                       pa.timestamp("us"))})  # fmt: skip
    spark_like.seal(parquet(table.replace_schema_metadata(said)), "a.parquet", Kind.PARQUET)
    assert spark_like.rows(table.schema) == table.to_pylist()


def test_days_that_both_calendars_share_are_read(spark_like):
    table = pa.table({"x": [dt.date(1582, 10, 15)], "l": pa.array([[]], pa.list_(pa.date32()))})
    spark_like.seal(parquet(table.replace_schema_metadata(OLD)), "a.parquet", Kind.PARQUET)
    assert spark_like.rows(table.schema) == table.to_pylist()


@pytest.mark.parametrize("kind", ["parquet", "json"])
def test_a_struct_that_is_null_is_written_though_its_fields_are_required(spark_like, kind):
    inner = pa.struct([pa.field("a", pa.int32(), nullable=False)])
    table = pa.table({"s": pa.array([{"a": 1}, None], inner), "l": pa.array([[{"a": 2}], None], pa.list_(inner))})
    spark_like.write(table, kind=kind)
    assert spark_like.schema() == "`s` STRUCT<`a`: INT>, `l` ARRAY<STRUCT<`a`: INT>>"
    loose = pa.struct([("a", pa.int32())])
    more = pa.table({"s": pa.array([{"a": None}], loose), "l": pa.array([None], pa.list_(loose))})
    spark_like.write(more)
    assert sorted(spark_like.rows(more.schema), key=str) == sorted([*table.to_pylist(), *more.to_pylist()], key=str)
